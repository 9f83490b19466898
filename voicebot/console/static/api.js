// The API as the console asks it: with the session's cookie, which the browser sends, and its CSRF token for changes.

let csrf = null;
let onLost = () => {};

/** Why the server would not: `status` (0 if it does not answer), `code` for scripts, the message for people. */
export class ApiError extends Error {
  constructor(status, code, message, errors = []) {
    super(message);
    this.name = "ApiError";
    this.status = status;
    this.code = code;
    this.errors = errors;
  }
}

/** What is done when the session is over: the login is shown. */
export function whenLost(listener) {
  onLost = listener;
}

/** @returns {Promise<{state: "in"|"out"|"no_token", name?: string, scope?: string, csrf?: string}>} */
export async function readSession() {
  return remember(await request("/console/session"));
}

export async function logIn(token) {
  return remember(await request("/console/login", { method: "POST", body: { token }, login: true }));
}

export async function logOut() {
  return remember(await request("/console/logout", { method: "POST", body: {} }));
}

function remember(session) {
  csrf = session.csrf ?? null;
  return session;
}

/**
 * Ask for JSON.
 * @param {string} path with its varying parts encoded: see `path`
 * @param {Object} query what is empty or null is left out
 */
export function get(path, query = {}, { signal } = {}) {
  const given = Object.entries(query).filter(([, value]) => value !== null && value !== undefined && value !== "");
  const behind = new URLSearchParams(given).toString();
  return request(behind ? `${path}?${behind}` : path, { signal });
}

/** Change something. */
export const post = (path, body = {}, { signal, headers } = {}) =>
  request(path, { method: "POST", body, signal, headers });

/** Erase something. */
export const erase = (path, { signal } = {}) => request(path, { method: "DELETE", signal });

/** A path with its varying parts encoded: path`/calls/${callSid}/say`. */
export const path = (fixed, ...parts) =>
  fixed.reduce((sofar, one, index) => sofar + encodeURIComponent(parts[index - 1]) + one);

/** A request as the others are made, for what is no JSON: gives the Response. */
export async function ask(address, { method = "GET", body, signal, headers = {}, login = false } = {}) {
  const sent = { Accept: "application/json", ...headers };
  if (method !== "GET" && csrf) sent["X-CSRF-Token"] = csrf;
  if (body !== undefined) sent["Content-Type"] = "application/json";
  let answer;
  try {
    answer = await fetch(address, {
      method,
      headers: sent,
      body: body === undefined ? undefined : JSON.stringify(body),
      credentials: "same-origin",
      cache: "no-store",
      signal,
    });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError(0, "unreachable", "The server does not answer. Is it up, and is this device online?");
  }
  if (answer.ok) return answer;
  const told = await answer.json().catch(() => ({}));
  if (answer.status === 401 && !login) onLost();
  const wrong = (told.errors ?? []).map((one) => `${one.where} ${one.problem}: ${one.mend}`).join("; ");
  const detail = [told.detail ?? `The server answered ${answer.status}`, wrong].filter(Boolean).join(". ");
  throw new ApiError(answer.status, told.code ?? "refused", detail, told.errors ?? []);
}

async function request(address, options) {
  const answer = await ask(address, options);
  return answer.status === 204 ? null : answer.json();
}

/** Whether this session may do what needs `scope`. */
export const may = (session, scope) => {
  const scopes = ["read", "operate", "admin"];
  return scopes.indexOf(session.scope) >= scopes.indexOf(scope);
};
