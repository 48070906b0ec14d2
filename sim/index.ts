/** The public face of the simulator. */
export {};
