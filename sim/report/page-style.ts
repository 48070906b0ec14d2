/** The looks of the HTML report, light and dark by the reader's setting. */
export const PAGE_STYLE = `
:root{color-scheme:light dark;--bg:#f7f8fa;--card:#fff;--ink:#1c2330;--soft:#5b6575;--faint:#dfe3ea;--line:#2f6fde;
--area:rgba(47,111,222,.10);--bound:#b4560b;--good:#1a7f4b;--bad:#c4281c;--hot:#e8871e;--down:#a9b1bd;--link:#c3cad6;--n0:#c9dcf7;--n1:#123f8f}
@media(prefers-color-scheme:dark){:root{--bg:#12161c;--card:#1b212a;--ink:#e6eaf0;--soft:#9aa5b5;--faint:#2d3541;--line:#6ba1ff;
--area:rgba(107,161,255,.13);--bound:#f0a35a;--good:#4cc38a;--bad:#ff7a6b;--hot:#ffb14e;--down:#57616f;--link:#4a5565;--n0:#274064;--n1:#9cc4ff}}
*{box-sizing:border-box}
body{margin:0;background:var(--bg);color:var(--ink);font:15px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,sans-serif}
main{max-width:1220px;margin:0 auto;padding:28px 24px 60px}
h1{font-size:26px;line-height:1.2;margin:0;display:flex;gap:12px;align-items:center;flex-wrap:wrap}
h2{font-size:17px;margin:34px 0 12px}
header p{margin:6px 0 0;color:var(--soft);max-width:75ch}
code{font:13px/1.5 ui-monospace,SFMono-Regular,Menlo,Consolas,monospace}
header code,.violation code{display:inline-block;background:var(--card);border:1px solid var(--faint);border-radius:6px;padding:2px 8px;overflow-wrap:anywhere}
.badge{font-size:13px;font-weight:600;border-radius:99px;padding:3px 12px;color:#fff;background:var(--good)}
.badge.bad{background:var(--bad)}
@media(prefers-color-scheme:dark){.badge{color:#10151b}}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(135px,1fr));gap:12px;margin-top:20px}
.tile,.card,figure{background:var(--card);border:1px solid var(--faint);border-radius:10px;margin:0;padding:14px 16px}
.tile b{display:block;font-size:21px;line-height:1.3;font-weight:600;font-variant-numeric:tabular-nums}
.tile span{color:var(--soft);font-size:13px}
.violation{border-color:var(--bad);margin-top:20px}
.violation h2{margin-top:0;color:var(--bad)}
.two{display:grid;grid-template-columns:repeat(auto-fit,minmax(440px,1fr));gap:14px}
figcaption{display:flex;gap:8px;align-items:baseline;margin-bottom:6px;flex-wrap:wrap}
figcaption span{color:var(--soft);font-size:13px}
figcaption output{margin-left:auto;font-variant-numeric:tabular-nums;font-weight:600}
svg{display:block;width:100%;height:auto}
.grid{stroke:var(--faint)}
.tick{fill:var(--soft);font-size:11px;font-variant-numeric:tabular-nums}
.line{fill:none;stroke:var(--line);stroke-width:2;stroke-linejoin:round}
.area{fill:var(--area)}
.bound{stroke:var(--bound);stroke-width:1.5;stroke-dasharray:5 4}
.bound-name{fill:var(--bound);font-size:11px}
.cursor{stroke:var(--soft);stroke-width:1}
.bar{display:grid;grid-template-columns:minmax(90px,30%) 1fr minmax(90px,auto);gap:10px;align-items:center;margin:5px 0;font-size:13px}
.bar span{overflow:hidden;text-overflow:ellipsis;white-space:nowrap}
.bar>div{position:relative;height:14px;background:var(--area);border-radius:3px}
.bar b{display:block;height:100%;background:var(--line);border-radius:3px;min-width:1px}
.bar i{position:absolute;top:-3px;bottom:-3px;width:2px;background:var(--bound)}
.bar em{font-style:normal;text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}
.more{color:var(--soft);font-size:13px;margin:8px 0 0}
.replay{display:grid;grid-template-columns:minmax(0,1fr) 330px;gap:14px}
@media(max-width:900px){.replay{grid-template-columns:1fr}.two{grid-template-columns:1fr}}
.stage{position:relative}
canvas{display:block;width:100%;height:460px;border-radius:6px;touch-action:none}
.tip{position:absolute;pointer-events:none;background:var(--ink);color:var(--bg);font-size:12px;line-height:1.4;padding:5px 9px;border-radius:6px;white-space:pre;display:none}
.controls{display:flex;gap:12px;align-items:center;margin-top:10px}
.controls button,.controls select{font:inherit;font-size:14px;color:inherit;background:var(--bg);border:1px solid var(--faint);border-radius:6px;padding:4px 12px;cursor:pointer}
.controls input{flex:1;accent-color:var(--line);min-width:60px}
.controls output{font-variant-numeric:tabular-nums;min-width:74px;text-align:right}
.legend{display:flex;gap:16px;flex-wrap:wrap;color:var(--soft);font-size:13px;margin-top:8px}
.legend i{display:inline-block;width:11px;height:11px;border-radius:50%;margin-right:6px;vertical-align:-1px}
.legend .ramp{width:60px;border-radius:3px;background:linear-gradient(90deg,var(--n0),var(--n1))}
.legend .bar-key{width:16px;height:3px;border-radius:2px;vertical-align:3px}
.log{max-height:560px;overflow:auto;font-size:13px;padding:0}
.log h3{position:sticky;top:0;margin:0;padding:12px 16px 8px;font-size:14px;background:var(--card)}
.log ol{list-style:none;margin:0;padding:0 0 10px}
.log li{display:grid;grid-template-columns:74px 1fr;gap:8px;padding:3px 16px;cursor:pointer;border-left:3px solid transparent}
.log li:hover{background:var(--area)}
.log li.now{border-left-color:var(--line);background:var(--area)}
.log time{color:var(--soft);text-align:right;font-variant-numeric:tabular-nums}
.scroll{overflow:auto;max-height:520px;padding:0}
table{border-collapse:collapse;width:100%;font-size:13px;font-variant-numeric:tabular-nums}
th,td{padding:6px 14px;text-align:right;white-space:nowrap;border-bottom:1px solid var(--faint)}
th{position:sticky;top:0;background:var(--card);color:var(--soft);font-weight:600}
td:first-child,th:first-child,td.text,th.text{text-align:left}
td.text{white-space:normal}
.ok{color:var(--good);font-weight:600}.no{color:var(--bad);font-weight:600}
footer{margin-top:34px;color:var(--soft);font-size:13px;overflow-wrap:anywhere}
`;
