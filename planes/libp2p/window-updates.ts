/**
 * Fewer flow-control messages: yamux answers every data frame with a window update, each an encrypted write of its own,
 * a tenth of a receiver's work in bulk sync. One per quarter of the window keeps the sender just as busy.
 */

/** What yamux streams keep beside the interface; checked for, since it is the library's own business. */
interface YamuxWindow {
  state: number;
  recvWindow: number;
  recvWindowCapacity: number;
  sendWindowUpdate(): void;
}

/** yamux's number for a stream that is open both ways and not paused. */
const ESTABLISHED = 3;
const KEEP_SHARE = 0.75;

function hasWindow(stream: object): stream is YamuxWindow {
  const { state, recvWindow, recvWindowCapacity, sendWindowUpdate } = stream as Partial<YamuxWindow>;
  const numbers = [state, recvWindow, recvWindowCapacity].every((value) => typeof value === "number");
  return numbers && typeof sendWindowUpdate === "function";
}

/** Holds updates back while more than three quarters of the window are open. Streams of another kind stay as they are. */
export function spareWindowUpdates(stream: object): void {
  if (!hasWindow(stream)) return;
  const send = stream.sendWindowUpdate.bind(stream);
  stream.sendWindowUpdate = () => {
    const open = stream.recvWindowCapacity > stream.recvWindow * KEEP_SHARE;
    if (stream.state !== ESTABLISHED || !open) send();
  };
}
