/** Makes the interfaces that the configuration names. Used by the station of the daemon and of one-shot verbs. */
import { reticulum } from "../../planes/index.ts";
import type { InterfaceConfig } from "./config.ts";

type Interface = reticulum.Interface;

/** An optional field that is not there, instead of one that is undefined. */
type Present<T> = { [K in keyof T]: Exclude<T[K], undefined> };

function present<T extends object>(fields: T): Present<T> {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as Present<T>;
}

const GRACE = 5;

function policyOf(config: InterfaceConfig): reticulum.WirePolicy {
  const { mode, announceCapPercent: percent, announceRateSeconds: seconds, ingressControl } = config;
  const pathRequestHz = config.pathRequestsPerSecond;
  const limit = seconds && { targetMs: seconds * 1000, grace: GRACE, penaltyMs: 0 };
  const rate = limit === 0 ? null : limit;
  const announceCap = percent === undefined ? undefined : percent / 100;
  return present({ mode, announceCap, announceRate: rate, ingressControl, pathRequestHz });
}

/** Throws `config_invalid` for settings that only the interface can judge. */
export function makeInterface(settings: InterfaceConfig): Interface {
  const config = { ...settings, policy: policyOf(settings) };
  switch (config.type) {
    case "tcp-client":
      return reticulum.tcpClient(present(config));
    case "tcp-server":
      return new reticulum.TcpServerInterface(present(config));
    case "udp":
      return new reticulum.UdpInterface(present(config));
    case "serial":
      return reticulum.serialInterface(present(config));
    case "kiss":
      return reticulum.kissTnc(present(config));
    case "auto":
      return new reticulum.AutoInterface(present(config));
    case "rnode": {
      const { path = "", speed, host, port, name, networkName, passphrase, accessCodeBytes, flowControl } = config;
      const { frequencyHz, bandwidthHz, txPowerDbm, spreadingFactor, codingRate } = config;
      const { airtimeShortPercent, airtimeLongPercent } = config;
      const radio = { frequencyHz, bandwidthHz, txPowerDbm, spreadingFactor, codingRate };
      return new reticulum.RNodeInterface({
        name,
        policy: config.policy,
        ...present({ networkName, passphrase, accessCodeBytes, flowControl }),
        radio: { ...radio, ...present({ airtimeShortPercent, airtimeLongPercent }) },
        device: host === undefined ? { path, ...present({ speed }) } : { host, ...present({ port }) },
      });
    }
  }
}
