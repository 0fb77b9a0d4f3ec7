// A Restate service whose handler makes as many durable steps as it is asked for, one after the other.
//
// usage: node steps.mjs PORT. Answers how often a step's function ran. Never does anything else in a step.

import * as http2 from "node:http2";
import * as restate from "@restatedev/restate-sdk";

const steps = restate.service({
  name: "steps",
  handlers: {
    chain: async (ctx, count) => {
      let performed = 0;
      for (let i = 0; i < count; i++) {
        await ctx.run(`step ${i}`, () => {
          performed += 1;
          return i;
        });
      }
      return performed;
    },
  },
});

// Ends with the benchmark, even when that is killed: it holds the other end of our standard input.
process.stdin.on("end", () => process.exit(0)).resume();
http2
  .createServer(restate.createEndpointHandler({ services: [steps], bidirectional: true }))
  .listen(Number(process.argv[2]), "127.0.0.1");
