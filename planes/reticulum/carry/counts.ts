/** What the Reticulum plane counts, by the names metrics show. Made by `plane.ts`, whose parts add to it. */
export interface CarryCounts {
  frames_sent: number;
  frames_received: number;
  bytes_sent: number;
  bytes_received: number;
  sends_held: number;
  gossip_sent: number;
  gossip_received: number;
  gossip_dropped: number;
  messages_malformed: number;
  links_refused: number;
  dials: number;
  dials_failed: number;
  frames_too_slow: number;
  air_sent: number;
  air_received: number;
  air_dropped: number;
  air_repaired: number;
  packets_sent: number;
  packets_received: number;
  mails_sent: number;
  statements_sent: number;
  statements_received: number;
  statements_refused: number;
  left_dropped: number;
  strays: number;
  strays_dropped: number;
}

export function newCounts(): CarryCounts {
  return {
    frames_sent: 0,
    frames_received: 0,
    bytes_sent: 0,
    bytes_received: 0,
    sends_held: 0,
    gossip_sent: 0,
    gossip_received: 0,
    gossip_dropped: 0,
    messages_malformed: 0,
    links_refused: 0,
    dials: 0,
    dials_failed: 0,
    frames_too_slow: 0,
    air_sent: 0,
    air_received: 0,
    air_dropped: 0,
    air_repaired: 0,
    packets_sent: 0,
    packets_received: 0,
    mails_sent: 0,
    statements_sent: 0,
    statements_received: 0,
    statements_refused: 0,
    left_dropped: 0,
    strays: 0,
    strays_dropped: 0,
  };
}
