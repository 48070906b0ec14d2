/** How each harness's program is started for one headless turn with another model than its own; as publicly documented. */
import type { Harness } from "../harness.ts";

export interface HeadlessProgram {
  readonly words: readonly string[];
  readonly env: Readonly<Record<string, string>>;
}

/** `model`: base URL of a `ModelServer`. Undefined for a harness without a headless program. */
export function headlessProgram(
  harness: Harness,
  model: string,
  prompt: string,
  more: readonly string[],
): HeadlessProgram | undefined {
  switch (harness) {
    case "claude-code":
      return {
        words: ["claude", "-p", prompt, "--no-session-persistence", "--allowedTools", "Bash Read Write Edit", ...more],
        env: {
          ANTHROPIC_BASE_URL: model,
          ANTHROPIC_API_KEY: "sk-none",
          CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC: "1",
        },
      };
    case "codex": {
      const provider = `model_providers.local={name="local",base_url="${model}/v1",wire_api="responses",env_key="LOCAL_KEY"}`;
      const settings = [provider, "model_provider=local", "model=gpt-5.5"].flatMap((one) => ["-c", one]);
      return {
        words: ["codex", "exec", "--ephemeral", "--skip-git-repo-check", ...settings, ...more, prompt],
        env: { LOCAL_KEY: "none" },
      };
    }
    case "gemini-cli":
      return {
        words: ["gemini", "-p", prompt, "--yolo", "-m", "gemini-2.5-pro", ...more],
        env: { GEMINI_API_KEY: "none", GOOGLE_GEMINI_BASE_URL: model, GEMINI_CLI_TRUST_WORKSPACE: "true" },
      };
    case "cursor":
      return undefined;
  }
}
