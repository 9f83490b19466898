// The console: who is logged in, which page is shown, and the frame around it.

import { logIn, logOut, readSession, whenLost } from "./api.js";
import { add, announce, fill, h } from "./dom.js";
import { PAGES } from "./pages.js";
import { busy, errorLine, field, link } from "./parts.js";

const BASE = "/console";
const root = document.getElementById("app");

let session = null;
let leaving = new AbortController(); // of the page that is shown
let frame = null; // { main, links } while somebody is logged in

// ---- the frame

function makeFrame() {
  const links = PAGES.filter((page) => page.nav).map((page) => link(page.pattern, page.title));
  const main = h("main", { id: "main", tabindex: "-1" });
  const skip = h("a", { class: "skip", href: "#main" }, "Skip to the content");
  skip.addEventListener("click", (event) => {
    event.preventDefault();
    main.focus();
  });
  const leave = h("button", { type: "button", class: "small", on: { click: end } }, "Log out");
  fill(
    root,
    skip,
    h(
      "header",
      { class: "top" },
      link("/", [h("img", { src: "/console/static/icon.svg", alt: "", width: 22, height: 22 }), "voicebot"], {
        class: "brand",
      }),
      h("nav", { "aria-label": "Pages" }, links),
      h(
        "div",
        { class: "who" },
        h("span", { class: "who-name", title: `Token ${session.name}, scope ${session.scope}` }, session.name),
        h("span", { class: "badge" }, session.scope),
        leave,
      ),
    ),
    main,
  );
  return { main, links };
}

async function end() {
  try {
    session = await logOut();
    show();
  } catch (error) {
    frame?.main.prepend(errorLine(error));
  }
}

// ---- which page

function found(path) {
  for (const page of PAGES) {
    const names = [];
    const parts = page.pattern.split("/").map((part) => {
      if (!part.startsWith(":")) return part.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");
      names.push(part.slice(1));
      return "([^/]+)";
    });
    const match = new RegExp(`^${parts.join("/")}/?$`).exec(path);
    if (!match) continue;
    try {
      return { page, params: Object.fromEntries(names.map((name, i) => [name, decodeURIComponent(match[i + 1])])) };
    } catch {
      return null; // no UTF-8
    }
  }
  return null;
}

/** Lead to a page, as its links do. */
function go(path, { replace = false } = {}) {
  history[replace ? "replaceState" : "pushState"](null, "", BASE + path);
  show({ focus: !replace });
}

async function show({ focus = false } = {}) {
  leaving.abort();
  leaving = new AbortController();
  if (session?.state !== "in") {
    frame = null;
    showLogin();
    return;
  }
  frame ??= makeFrame();
  const { main, links } = frame;
  const path = location.pathname.slice(BASE.length).replace(/\/+$/, "") || "/";
  for (const one of links) {
    const own = new URL(one.href).pathname.slice(BASE.length);
    const isHere = own === "/" ? path === "/" : path === own || path.startsWith(`${own}/`);
    if (!isHere) {
      one.removeAttribute("aria-current");
      continue;
    }
    one.setAttribute("aria-current", "page");
    one.scrollIntoView({ block: "nearest", inline: "nearest" }); // on a narrow screen they do not all have room
  }
  const here = found(path);
  const setTitle = (title) => (document.title = `${title} · voicebot`);
  setTitle(here?.page.title ?? "Not found");
  fill(main);
  if (focus) {
    scrollTo(0, 0);
    main.focus({ preventScroll: true });
    announce(here?.page.title ?? "Not found");
  }
  if (!here) {
    add(main, h("h1", {}, "Not found"), h("p", {}, "The console has no such page. ", link("/", "Overview")));
    return;
  }
  const { signal } = leaving;
  try {
    const query = new URLSearchParams(location.search);
    await here.page.show(main, { params: here.params, query, session, signal, go, setTitle });
  } catch (error) {
    if (!signal.aborted) add(main, errorLine(error, () => show()));
  }
}

// ---- the login

function showLogin() {
  document.title = "Log in · voicebot";
  const brand = h(
    "p",
    { class: "brand" },
    h("img", { src: "/console/static/icon.svg", alt: "", width: 28, height: 28 }),
    "voicebot",
  );
  if (session?.state === "no_token") {
    fill(
      root,
      h(
        "main",
        { class: "login" },
        brand,
        h("h1", {}, "No token is set"),
        h("p", {}, "The console is opened with an API token, and this server has none. Set one and start it again:"),
        h("pre", {}, "VOICEBOT_API_TOKEN=$(openssl rand -hex 24)"),
        h("p", { class: "quiet" }, "Or several, each with a name and a scope:"),
        h("pre", {}, "VOICEBOT_API_TOKENS=desk=operate:…,audit=read:…"),
      ),
    );
    return;
  }
  const told = h("div", {});
  const input = h("input", {
    type: "password",
    name: "token",
    autocomplete: "current-password",
    required: true,
    spellcheck: "false",
  });
  const button = h("button", { class: "primary", type: "submit" }, "Log in");
  const user = h("input", { name: "username", autocomplete: "username", value: "console", hidden: true });
  const form = h("form", { action: BASE, method: "post" }, user, field("API token", input), told, button);
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    button.disabled = true;
    fill(told);
    try {
      session = await logIn(input.value);
      show({ focus: true });
    } catch (error) {
      const isWrong = error.code === "token";
      fill(told, isWrong ? h("p", { class: "error", role: "alert" }, "This is no token of this server.") : errorLine(error));
      input.select();
    }
    button.disabled = false;
  });
  fill(
    root,
    h(
      "main",
      { class: "login" },
      brand,
      h("h1", {}, "Log in"),
      form,
      h("p", { class: "quiet" }, "A token of VOICEBOT_API_TOKEN or VOICEBOT_API_TOKENS. It is not kept in this browser."),
    ),
  );
  input.focus();
}

// ---- at work

document.addEventListener("click", (event) => {
  const anchor = event.target.closest?.("a[href]");
  if (!anchor || event.defaultPrevented || event.button || event.ctrlKey || event.metaKey || event.shiftKey) return;
  const url = new URL(anchor.href, location.href);
  const isPage = url.pathname === BASE || url.pathname.startsWith(`${BASE}/`);
  const isWithin = url.hash && url.pathname === location.pathname; // a place on this page: the browser goes there
  if (url.origin !== location.origin || !isPage || anchor.target || isWithin) return;
  event.preventDefault();
  go(url.pathname.slice(BASE.length) + url.search + url.hash || "/");
});

addEventListener("popstate", () => show({ focus: true }));

whenLost(() => {
  if (session?.state !== "in") return;
  session = { state: "out" };
  announce("The session is over.");
  show();
});

async function begin() {
  fill(root, busy());
  try {
    session = await readSession();
    show();
  } catch (error) {
    fill(root, h("main", { class: "login" }, errorLine(error, begin)));
  }
}

begin();
