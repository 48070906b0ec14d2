/**
 * Words that mean the same to an attack, in many languages: the classifier sees sequences of these meanings besides words,
 * so that what it learned of one wording, or in one language, counts for others. A star ends a beginning of five letters.
 */

/** Meanings by name; the order is the number. Changing this table makes the weights void. */
export const MEANINGS: Readonly<Record<string, string>> = {
  drop: "ignore ignores ignored ignoring disreg* forget forgets forgot overri* bypass bypas* overlook abandon cancel discard erase omit skip neglect dismiss circu* evade nullify void suspend disobey defy violate break ignorier* ignoriere vergiss verges* missac* umgeh* übergeh* verwirf ignorez oublie oubliez néglig* contou* ignora ignor* olvida olvid* desca* omite anula trascura diment* annulla esqueça esquece descon* desco* negeer vergeet ignorera glöm bortse zignor* zapomnij pomiń odrzuć игнор* забудь отмени отбрось забуд* ігнор* відкинь unut görmez* yoksay abaikan lupakan hirau* تجاهل انس अनदेखा भूल 무시하고 무시해 잊어 忽略 无视 忘记 忽視 無視 忘れ",
  rules:
    "instru* rule rules direc* guide* order orders comma* restr* const* polic* limit* guard* safeg* safety filter filters censo* ethics ethical moral* norms progr* confi* setup setti* prompt prompts protoc* anweis* regel regeln vorga* befehl befehle richt* einsch* consi* règle règles ordres regla regla* reglas órdenes indic* istru* regole diret* regras ordens diretr* opdra* regels reglar polec* zasad* zasady wytyc* указа* прави* коман* огран* інстру* інстр* вказі* обмеж* talim* kural* komut* aturan perin* petun* تعليم* التعل* القوا* الأوا* निर्द* नियम* 지시 규칙 명령 지침 指令 指示 规则 規則 命令 限制 ルール 提示 设定 設定",
  prior:
    "previ* prior above earlier precee* preced* origi* initi* former begin* start* first before past until previo* vorhe* bishe* obige* obigen oben früher* urspr* anfang* précéd* dessus antér* initia* anter* previa* arriba prima prece* sopra acima prévia* vorige eerde* boven* tidig* föreg* ovans* poprz* wcześ* powyż* преды* прежн* вышеу* исход* попер* минул* önceki yukarı* sebel* awal السابق* أعلاه पिछले ऊपर पहले 이전 위의 앞의 之前 以上 前面 上面 以前 上記 最初",
  secret:
    "passw* password passwords secret secrets passph* passc* pin pincode token tokens crede* confid* private keyword codeword codew* vault key keys apikey classi* hidden sensi* prote* login flag pwd passwd passwo* gehei* kennw* zugan* schlü* codew* mot motde* secrè* clé clés cachée ident* contr* secre* clave claves oculta crede* segre* chiave parola segred* senha senhas palavr* chave wacht* gehei* sleut* löseno* lösen* hemli* nyckel* hasło hasła sekret tajn* tajne klucz парол* секре* ключ тайн* скрыт* таємн* şifre* parola* gizli sır sırrı anaht* sandi rahas* kunci السر المرور السرية कुंजी पासव* गुप्त राज 비밀번호 비밀번호를 비밀을 암호 암호를 密码 秘密 密钥 口令 暗号 パス 鍵 暗証",
  reveal:
    "revea* reveal tell tells telling told show shows shown print prints output display discl* expose leak leaks dump share shares say says said give gives spell recite echo repeat unveil uncov* confe* divul* betray spill read expla* descr* provi* retur* list repro* quote verrat* nenne nenn sag sage zeig zeige gib wieder* offen* drucke dis dites donne donnez révèl* montr* affich* répèt* dime dame revel* muest* escri* repit* dimmi dammi rivel* mostr* ripet* scrivi diga mostre mostra repita escre* geef vertel toon herha* onthul berätt* visa avslö* upprep* powie* podaj pokaż zdrad* ujawn* powtó* скажи назови покаж* раскр* выдай дай повто* напиши розкр* söyle göster açıkla tekra* beri beritahu tunju* ungka* ulangi أخبر* أعطني اكشف اعرض बताओ बताइए दिखाओ 알려줘 말해줘 말해 보여줘 告诉 说出 透露 显示 输出 教え 言っ 見せ 表示",
  you: "you your yours yourse* u ur du dein deine deinen dir dich sie ihr ihre tu te ton tes toi vous votre vos usted tus tuo tua tuoi tue você vocês seu sua suas je jouw jij ditt dina twój swój swoje swój ты твой свой твои вы ваш ти свій sen senin kamu anda أنت तुम आप अपना 너 네 당신 你的 你是 您的 あなた",
  me: "me my i im i'm mine us our we mir mich mein ich moi mon je nous mi yo me mio io eu meu minha mij mijn ik mig jag mnie mi moje мне мой я мені bana ben saya aku أنا لي मुझे 나 내 나에게 告诉我 给我 我的 私に",
  system:
    "system system's devel* admin admini* root sudo debug mainte* opera* host backend server superu* intern* entwi* betre* systè* dével* siste* desar* svilu* desen* syste* beheer* utvec* admin* систе* админ* разра* розро* yönet* geliş* penge* النظام المطور المدير सिस्टम 시스템 관리자 개발자 系统 系統 管理 开发 システ 開発",
  mode: "mode modes enabl* activ* enter unlock* unloc* enable switch boot reboot reset modus aktiv* modo modalità läge tryb режим mod modu modunda الوضع وضع मोड 모드 모드야 模式 モード",
  pretend:
    "prete* imagi* role rolep* act acting play plays playing simul* emula* persona chara* suppo* assume hypot* ficti* fiction game scena* story dream virtu* world stell stelle spiel* rolle tu'ob imagin* joue jouez fais finge actúa actua* imagin* juega finta fingi comport* immag* finja aja imagi* doe alsof rollen* låtsa* förest* udawaj wyobr* предс* притв* играй уяви farz rol bayan* berpu* تخيل تظاهر कल्पना 상상해 假装 扮演 想象 想像",
  free: "unres* unfil* uncen* freed liber* anyth* nothing everyt* unlim* no without dan never refuse refus* always cannot can't grenzen ohne sans limites sin límit* senza limiti sem zonder utan bez без без sınırs* tanpa بلا قيود बिना 제한 没有 无限 不受 なし",
  ai: "ai llm gpt chatgpt model models assis* chatbot bot bots agent agents langu* copilot machine ki künst* sprac* ia modèl* model* intel* yapay модель ассис* асист* ии бот الذكاء 인공지능 人工 智能 助手 模型",
  permit:
    "allow* permi* autho* appro* trust clear* entit* owner creator boss police rese* resea* audit* test tests testing verify verif* confirm profes* emerg* urgent import* criti* erlaub* notfa* wicht* urgen* impor* autor* seguro emerge* urgence belan* viktig ważne важно срочно acil penting مهم",
  encode:
    "base64 rot13 encod* decod* hex binary morse ascii cipher reverse backw* rever* leet encry* decry* unicode concat* combin* join spell letters letter charac* vowel* rhyme* rhymes acros* initi* kodier* umgek* rückw* encode* inver* codif* invert*",
  craft:
    "poem poems haiku song rap limer* sonnet riddle rhyme joke tale verse essay lyrics acrost* ballad gedic* lied rätsel poème chanson devin* poema canci* acert* poesia canz* indov* gedicht dikt wiersz стих* песн* вірш şiir puisi قصيدة कविता 诗歌 故事 歌曲",
  send: "send sends sent forwa* upload* email emails post posts transm* exfil* submit append attach visit fetch open click call invoke execu* run execute delet* remove wipe transf* pay buy install downl* sende leite lösche öffne überm* envoi* trans* suppr* ouvre envía reenv* borra abre invia inolt* cance* envie encam* apague stuur verwi* skicka wyślij usuń otwórz отпра* переш* удали открой надіш* gönder silin sil kirim hapus أرسل احذف भेजो 보내 삭제해 发送 转发 删除 转账 送っ 削除",
  data: "data conve* history chat files file contac* inbox mails message* custo* user's users docum* envir* daten nutzer* données fichi* utilis* datos archi* usuar* dati uten* dados arqui* gegev* besta* uppgi* dane plik* данн* файл* польз* veri dosya* kulla* file data pengg* البيا* ملف डेटा 데이터 파일 数据 文件 用户",
  place:
    "http https www url link webhook com net org endpo* adres* addre* server account iban bitcoin wallet img image markdown href src",
  only: "only just exactly simply instead now then must shall immed* regardless strict* nothing nur jetzt stattd* sofort genau seule* mainte* immédi* solo solam* ahora inmed* subito apenas agora alleen nu nästa tylko teraz только теперь сейчас тільки sadece hemen şimdi hanya sekar* فقط الآن केवल अब 만 지금 只 现在 立即 だけ",
  hide: "don't not never avoid secretly silent* quiet* without mention inform notify warn refrain nicht niemals kein pas jamais rien nunca nada non mai não niet nooit inte aldrig nie не никогда ні değil asla jangan لا नहीं 不要 别 ないで",
  reader:
    "summar* readi* reads reader reading proce* analy* trans* answer* respo* reply reply* review* scree* parse index* crawl* zusam* résum* resum* riass* samen* samma* podsu* кратк* özet* ringk* لخص सारांश 总结 摘要 要約",
  mark: "inst im_start im_end endoftext assistant user human sys begin end note notice atten* hinweis achtung atten* atenc* attenz* aten* let opp uwaga внима* увага dikkat perha* انتباه ध्यान 注意",
};

const STAR_LETTERS = 5;

export interface Meanings {
  /** Meaning of whole words, from 1. */
  readonly words: ReadonlyMap<string, number>;
  /** Meaning of five-letter beginnings. */
  readonly stems: ReadonlyMap<string, number>;
  /** Meaning of pairs of characters in scripts without spaces. */
  readonly pairs: ReadonlyMap<string, number>;
}

/** Entries as written and without accents; the first meaning that claims a word has it. */
export function meanings(): Meanings {
  const words = new Map<string, number>();
  const stems = new Map<string, number>();
  const pairs = new Map<string, number>();
  for (const [at, list] of Object.values(MEANINGS).entries()) {
    for (const entry of list.split(" ")) {
      for (const form of new Set([entry, entry.normalize("NFD").replace(/[\u0300-\u036f]/g, "")])) {
        const plain = form.replace("*", "");
        if (/^[\u3040-\u9fff]{2}$/.test(plain)) put(pairs, plain, at + 1);
        else if (form.endsWith("*")) put(stems, plain.slice(0, STAR_LETTERS), at + 1);
        else put(words, plain, at + 1);
      }
    }
  }
  return { words, stems, pairs };
}

function put(map: Map<string, number>, key: string, meaning: number): void {
  if (!map.has(key)) map.set(key, meaning);
}
