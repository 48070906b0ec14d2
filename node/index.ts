/** The public face of the daemon: the simulator and the tests import this and nothing deeper. */
export {};
