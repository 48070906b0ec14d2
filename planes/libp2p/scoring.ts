/**
 * Gossipsub score parameters under which faults outweigh merits. The library's defaults count mesh time per millisecond
 * (up to +3600), so that three rejected messages leave a peer positive, and punish quiet topics.
 */
import type { PeerScoreParams, PeerScoreThresholds, TopicScoreParams } from "@libp2p/gossipsub/score";

export const SCORE_THRESHOLDS: PeerScoreThresholds = {
  gossipThreshold: -20,
  publishThreshold: -40,
  graylistThreshold: -80,
  acceptPXThreshold: 1_000,
  opportunisticGraftThreshold: 1,
};

export const TOPIC_SCORE: TopicScoreParams = {
  topicWeight: 1,
  // P1, time in mesh: at most +1, after 100 s.
  timeInMeshQuantum: 1_000,
  timeInMeshWeight: 0.01,
  timeInMeshCap: 100,
  // P2, first deliveries: at most +5.
  firstMessageDeliveriesWeight: 0.1,
  firstMessageDeliveriesDecay: 0.9,
  firstMessageDeliveriesCap: 50,
  // P3, expected rate, off: our topic is quiet whenever nothing happens.
  meshMessageDeliveriesWeight: 0,
  meshMessageDeliveriesDecay: 0.5,
  meshMessageDeliveriesCap: 1,
  meshMessageDeliveriesThreshold: 1,
  meshMessageDeliveriesWindow: 10,
  meshMessageDeliveriesActivation: 5_000,
  meshFailurePenaltyWeight: 0,
  meshFailurePenaltyDecay: 0.5,
  // P4, invalid messages, squared: 1 → −10, 2 → −40, 3 → −90 (graylisted); half is forgotten in 23 s.
  invalidMessageDeliveriesWeight: -10,
  invalidMessageDeliveriesDecay: 0.97,
};

/** `points` is the plane's own penalty count of a peer: at 80 it is graylisted, at the plane's limit banned. */
export function scoreParams(topic: string, points: (peer: string) => number): Partial<PeerScoreParams> {
  return {
    topics: { [topic]: TOPIC_SCORE },
    topicScoreCap: 10,
    appSpecificScore: (peer) => -points(peer),
    appSpecificWeight: 1,
    // Peers behind one NAT are no crime; connections per address are bounded at the door instead.
    IPColocationFactorWeight: 0,
    behaviourPenaltyWeight: -5,
    behaviourPenaltyThreshold: 2,
    behaviourPenaltyDecay: 0.9,
    decayInterval: 1_000,
    decayToZero: 0.01,
    retainScore: 600_000,
  };
}
