/** Side channels of remote desktops (spec/guards.md section 2.10): clipboard, files, sharing, audio, drives, printing. */
import type { Guard } from "./guard.ts";
import type { SideChannelPolicy } from "./policy/effective.ts";
import { allow, deny, type GuardResult } from "./verdict.ts";

const NAME = "remote_desktop_side_channel";

/** Which switch governs which kind. Sessions themselves are the computer-use guard's matter. */
const SWITCHES: Readonly<Record<string, keyof SideChannelPolicy>> = {
  "remote.clipboard": "clipboard_enabled",
  "remote.file_transfer": "file_transfer_enabled",
  "remote.session_share": "session_share_enabled",
  "remote.audio": "audio_enabled",
  "remote.drive_mapping": "drive_mapping_enabled",
  "remote.printing": "printing_enabled",
};

export function sideChannelGuard(policy: SideChannelPolicy): Guard {
  return {
    name: NAME,
    check: (action) => {
      if (action.type !== "custom" || !action.kind.startsWith("remote.") || action.kind.startsWith("remote.session.")) {
        return undefined;
      }
      const field = Object.hasOwn(SWITCHES, action.kind) ? SWITCHES[action.kind] : undefined;
      if (field === undefined) return deny(NAME, "error", `Unknown side channel ${action.kind}`, "unknown_channel");
      if (policy[field] !== true) return deny(NAME, "error", `${action.kind} is switched off`, "channel_disabled");
      if (action.kind !== "remote.file_transfer") return allow(NAME);
      return checkSize(action.payload, policy.max_transfer_size_bytes);
    },
  };
}

function checkSize(payload: unknown, limit: number | null): GuardResult {
  if (limit === null) return allow(NAME);
  const from = (typeof payload === "object" && payload !== null ? payload : {}) as Readonly<Record<string, unknown>>;
  const size = from["transfer_size"] ?? from["transferSize"];
  if (typeof size !== "number" || !Number.isSafeInteger(size) || size < 0) {
    return deny(NAME, "error", "File transfer without a usable size", "size_missing");
  }
  if (size > limit)
    return deny(NAME, "error", `Transfer of ${size} bytes exceeds ${limit}`, "too_large", { size, limit });
  return allow(NAME);
}
