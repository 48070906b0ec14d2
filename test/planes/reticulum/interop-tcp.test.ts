/** The stack against the Python reference over TCP: as server, as client, at 500-byte MTU, with access code. */
import { type TcpOptions, TcpServerInterface, tcpClient } from "../../../planes/reticulum/interfaces/tcp.ts";
import { describeRns } from "../../peers/rns.ts";
import { freePort, interopCases, Meeting } from "./interop.ts";

const SIZES = [1, 100, 10_000, 1_000_000, 2_000_000];

async function asServer(ours: Partial<TcpOptions>, theirs: string): Promise<Meeting> {
  const port = await freePort();
  const server = new TcpServerInterface({ name: "server", host: "127.0.0.1", port, ...ours });
  const section = `[[client]]\ntype = TCPClientInterface\nenabled = Yes\ntarget_host = 127.0.0.1\ntarget_port = ${port}\n`;
  return Meeting.open(server, `${section}${theirs}`);
}

async function asClient(): Promise<Meeting> {
  const port = await freePort();
  const client = tcpClient({ name: "client", host: "127.0.0.1", port });
  const section = `[[server]]\ntype = TCPServerInterface\nenabled = Yes\nlisten_ip = 127.0.0.1\nlisten_port = ${port}\n`;
  return Meeting.open(client, section);
}

describeRns("reticulum interop: TCP server", () => {
  interopCases(() => asServer({}, ""), { sizes: SIZES, timeoutMs: 60_000 });
});

describeRns("reticulum interop: TCP client", () => {
  interopCases(asClient, { sizes: SIZES, timeoutMs: 60_000 });
});

describeRns("reticulum interop: TCP at 500-byte MTU with access code", () => {
  const ours = { fixedMtu: 500, networkName: "closed net", passphrase: "open sesame" };
  const theirs = "fixed_mtu = 500\nnetworkname = closed net\npassphrase = open sesame\n";
  interopCases(() => asServer(ours, theirs), { sizes: [1, 100, 10_000, 1_000_000], timeoutMs: 60_000 });
});

describeRns("reticulum interop: TCP with KISS framing", () => {
  interopCases(() => asServer({ framing: "kiss" }, "kiss_framing = Yes\n"), {
    sizes: [100, 10_000, 1_000_000],
    timeoutMs: 60_000,
  });
});
