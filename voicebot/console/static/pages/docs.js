// The project's pages, of the version that runs here. The server sends each as a tree of elements, not as markup.

import { get, path } from "../api.js";
import { add, h } from "../dom.js";
import { link } from "../parts.js";

const FIRST = "start";
const LEVELS_LISTED = 2;

export const pattern = "/docs";
export const title = "Docs";

export const show = (main, context) => showPage(main, context, FIRST);

/** A page by its name. */
export const named = {
  pattern: "/docs/:name",
  title,
  show: (main, context) => showPage(main, context, context.params.name),
};

async function showPage(main, { signal, setTitle }, name) {
  const [{ pages }, page] = await Promise.all([
    get("/console/pages", {}, { signal }),
    get(path`/console/pages/${name}`, {}, { signal }),
  ]);
  setTitle(page.title);
  const list = h("details", { class: "doc-list", open: matchMedia("(min-width: 900px)").matches }, [
    h("summary", {}, "All pages"),
    h(
      "ul",
      {},
      pages.map((one) =>
        h(
          "li",
          {},
          link(`/docs/${one.name}`, one.title, { "aria-current": one.name === name ? "page" : null }),
          one.name === name && contents(page),
        ),
      ),
    ),
  ]);
  add(
    main,
    h("div", { class: "doc-page" }, h("nav", { "aria-label": "Docs" }, list), h("article", { class: "doc card" }, page.content.map(made))),
  );
  if (location.hash) document.getElementById(decodeURIComponent(location.hash.slice(1)))?.scrollIntoView();
}

/** What is on a page. */
function contents({ name, headings }) {
  const listed = headings.filter(({ level }) => level === LEVELS_LISTED);
  if (!listed.length) return null;
  return h("ul", {}, listed.map(({ text, anchor }) => h("li", {}, link(`/docs/${name}#${anchor}`, text))));
}

/** An element of the tree, [name, attributes, children], or a text. */
function made(node) {
  if (typeof node === "string") return node;
  const [name, attributes, children] = node;
  return h(name, attributes, children.map(made));
}
