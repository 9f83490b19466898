// Elements from values. Nothing here reads markup: text becomes text nodes, whatever it holds, and the page's policy
// (`require-trusted-types-for 'script'`) has the browser refuse innerHTML and its like in all scripts.

const SVG = "http://www.w3.org/2000/svg";

/**
 * Make an element.
 *
 *   h("button", { class: "primary", type: "button", on: { click: save } }, "Save")
 *
 * @param {string} name
 * @param {Object} props attributes; besides: `on` listeners by event, `css` custom properties and styles by name (set
 *   through the object model, which the policy allows), `data` the dataset. `null`, `undefined` and `false` are left
 *   out, `true` is an attribute without a value.
 * @param {...(Node|string|number|Array|null)} children text for all that is no node; null and false are left out
 */
export function h(name, props = {}, ...children) {
  return made(document.createElement(name), props, children);
}

/** The same for an element of SVG. */
export function svg(name, props = {}, ...children) {
  return made(document.createElementNS(SVG, name), props, children);
}

function made(element, props, children) {
  for (const [name, value] of Object.entries(props ?? {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name === "on") for (const [event, listener] of Object.entries(value)) element.addEventListener(event, listener);
    else if (name === "css") for (const [key, one] of Object.entries(value)) element.style.setProperty(key, one);
    else if (name === "data") Object.assign(element.dataset, value);
    else if (/^(on|style$|srcdoc$)/i.test(name)) throw new Error(`${name} is set through on or css`);
    else if (/^(href|src|action|formaction|xlink:href)$/i.test(name)) element.setAttribute(name, safe(value));
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  return add(element, children);
}

/** An address as it may stand in a link: of http, of this page or a blob of ours; anything else leads nowhere. */
function safe(address) {
  const { protocol } = new URL(String(address), location.href);
  return ["http:", "https:", "blob:"].includes(protocol) ? String(address) : "#";
}

/** Append children as `h` takes them. */
export function add(element, ...children) {
  for (const one of children.flat(Infinity)) {
    if (one === null || one === undefined || one === false) continue;
    element.append(one instanceof Node ? one : String(one));
  }
  return element;
}

/** Have an element hold these children and no others. */
export function fill(element, ...children) {
  element.replaceChildren();
  return add(element, ...children);
}

let serial = 0;

/** An id that nothing else in this page has. */
export const newId = (prefix = "e") => `${prefix}-${++serial}`;

/** Have screen readers say something that has changed. */
export function announce(text) {
  const region = document.getElementById("announcer");
  region.textContent = "";
  requestAnimationFrame(() => (region.textContent = text));
}

/**
 * A drawing of the server's as an element of this page, for scripts to light up parts of it.
 * Read as a document, in which nothing runs; what is no drawing is left out.
 */
export function loadSvg(url, signal) {
  return new Promise((found, failed) => {
    const request = new XMLHttpRequest();
    request.open("GET", url);
    request.responseType = "document";
    request.overrideMimeType("image/svg+xml");
    request.onload = () => {
      const root = request.response?.documentElement;
      if (request.status !== 200 || root?.namespaceURI !== SVG) return failed(new Error("the drawing cannot be had"));
      for (const bad of root.querySelectorAll("script, foreignObject, a")) bad.remove();
      for (const one of [root, ...root.querySelectorAll("*")])
        for (const { name } of [...one.attributes]) if (/^on/i.test(name)) one.removeAttribute(name);
      return found(document.importNode(root, true));
    };
    request.onerror = () => failed(new Error("the drawing cannot be had"));
    signal?.addEventListener("abort", () => request.abort());
    request.send();
  });
}
