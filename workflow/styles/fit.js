// A table wider than the page is set smaller, as much as it must; nothing is cut off at the edge.
window.addEventListener("load", () => {
  const width = document.body.clientWidth;
  document.querySelectorAll("table").forEach((table) => {
    if (table.offsetWidth > width) table.style.zoom = (width / table.offsetWidth) * 0.98;
  });
});
