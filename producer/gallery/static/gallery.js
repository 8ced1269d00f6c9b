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
