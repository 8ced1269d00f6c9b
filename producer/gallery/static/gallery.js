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
function showOffline(offline) {
  for (const note of document.querySelectorAll("[data-offline]")) {
    if (offline && note.hidden) note.querySelector("[data-since]").textContent = new Date().toLocaleTimeString();
    note.hidden = !offline;
  }
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
for (const name of ["htmx:responseError", "htmx:sendError", "htmx:timeout"]) document.addEventListener(name, () => showOffline(true));
document.addEventListener("htmx:beforeSwap", (event) => {
  const log = event.target.closest(".log");
  if (log) log.dataset.end = log.scrollHeight - log.scrollTop - log.clientHeight < 30 ? "yes" : "";
});
document.addEventListener("htmx:afterSettle", () => {
  showOffline(false);
  announce();
  for (const log of document.querySelectorAll(".log[data-end=yes]")) log.scrollTop = log.scrollHeight;
});
document.addEventListener("DOMContentLoaded", () => {
  announce();
  for (const log of document.querySelectorAll("[data-follow]")) log.scrollTop = log.scrollHeight;
});
