// The console's pages: one line each. A page is a module that exports
//
//   pattern  its path below /console, as "/calls/:call_sid"
//   title    for the heading of the window and the navigation
//   show     (main, { params, query, session, signal, go, setTitle }) => void | Promise
//
// `show` fills `main`, which is empty. `params` are the varying parts of the path, decoded; `query` a URLSearchParams.
// `signal` aborts when the page is left: give it to requests, loops and listeners. `go(path, { replace })` leads to
// another page. What it throws is shown. Pages with `nav` stand in the navigation, in this order.

import * as overview from "./pages/overview.js";
import * as calls from "./pages/calls.js";
import * as call from "./pages/call.js";
import * as deliveries from "./pages/deliveries.js";
import * as flows from "./pages/flows.js";
import * as flow from "./pages/flow.js";
import * as talk from "./pages/talk.js";
import * as docs from "./pages/docs.js";

export const PAGES = [
  { ...overview, nav: true },
  { ...calls, nav: true },
  { ...call },
  { ...deliveries, nav: true },
  { ...flows, nav: true },
  { ...flow },
  { ...talk, nav: true },
  { ...docs, nav: true },
  { ...docs.named },
];
