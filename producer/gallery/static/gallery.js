"use strict";
// Keys: left and right follow the page's links to the previous and next thing, u to the list they are in. Without this file all pages work.
document.addEventListener("keydown", (event) => {
  if (event.altKey || event.ctrlKey || event.metaKey || event.shiftKey) return;
  if (event.target.closest("input, select, textarea, [role=slider], .scroll")) return;
  const relation = {ArrowLeft: "prev", ArrowRight: "next", u: "up"}[event.key];
  const link = relation && document.querySelector(`a[rel~="${relation}"]`);
  if (link) { event.preventDefault(); link.click(); }
});
document.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-copy]");
  if (!button) return;
  const text = button.dataset.copy || location.href;
  try { await navigator.clipboard.writeText(text); button.textContent = "Copied"; }
  catch { window.prompt("Copy this link", text); }
});
// Parts that are read again: they keep their content while the server doesn't answer, and a change of state is announced once.
const REASONS = {
  401: "The gallery asks for its token again: reload the page.", 404: "This is no longer there.",
  503: "The server can't read its database or its store at the moment.",
};
function showOffline(offline, status) {
  for (const note of document.querySelectorAll("[data-offline]")) {
    if (offline) note.querySelector("[data-reason]").textContent = REASONS[status] || "The server does not answer.";
    if (offline && note.hidden) note.querySelector("[data-since]").textContent = new Date().toLocaleTimeString();
    note.hidden = !offline;
  }
}
// What a reader has opened or scrolled to in a part stays so when the part is read again.
let reloadsAtEnd = false, opened = [], scrolled = [];
function remember(part) {
  opened = [...part.querySelectorAll("details[open][id]")].map((element) => element.id);
  scrolled = [...part.querySelectorAll(".scroll[id]")].map((element) => [element.id, element.scrollLeft, element.scrollTop]);
}
function restore() {
  for (const id of opened) document.getElementById(id)?.setAttribute("open", "");
  for (const [id, left, top] of scrolled) document.getElementById(id)?.scrollTo(left, top);
}
function announce() {
  const announcer = document.querySelector("[data-announcer]"), state = document.querySelector("[data-state]");
  if (!announcer || !state) return;
  const text = state.textContent.replace(/\s+/g, " ").trim();
  if (announcer.dataset.last !== undefined && announcer.dataset.last !== text) announcer.textContent = text;
  announcer.dataset.last = text;
}
// Nothing is read again while the page is hidden; it is once the page is shown.
document.addEventListener("htmx:beforeRequest", (event) => {
  const trigger = event.target.getAttribute("hx-trigger") || "";
  if (document.hidden && trigger.startsWith("every")) event.preventDefault();
});
for (const name of ["htmx:responseError", "htmx:sendError", "htmx:timeout"]) document.addEventListener(name, (event) => showOffline(true, event.detail.xhr?.status));
document.addEventListener("htmx:beforeSwap", (event) => {
  if (event.detail.xhr.status < 300) remember(event.target);
  const log = event.target.closest(".log");
  if (log) log.dataset.end = log.scrollHeight - log.scrollTop - log.clientHeight < 30 ? "yes" : "";
});
document.addEventListener("htmx:afterSettle", () => {
  showOffline(false);
  restore();
  // What is beside the part that was read again, such as the confusion matrix of a run, is there when the run has ended.
  if (reloadsAtEnd && !document.querySelector("[data-then-reload]")) location.reload();
  announce();
  for (const log of document.querySelectorAll(".log[data-end=yes]")) log.scrollTop = log.scrollHeight;
});
document.addEventListener("DOMContentLoaded", () => {
  reloadsAtEnd = Boolean(document.querySelector("[data-then-reload]"));
  announce();
  for (const log of document.querySelectorAll("[data-follow]")) log.scrollTop = log.scrollHeight;
});
