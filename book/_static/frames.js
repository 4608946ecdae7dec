// A view in a frame asks for the theme of the page around it, which it may not read where pages are opened as files.
const asking = new Set();
const tellTheme = (view) => view.postMessage({ theme: document.documentElement.dataset.theme }, "*");
addEventListener("message", ({ data, source }) => {
  if (data !== "theme?" || !source) return;
  asking.add(source);
  tellTheme(source);
});
new MutationObserver(() => asking.forEach(tellTheme)).observe(document.documentElement, {
  attributes: true,
  attributeFilter: ["data-theme"],
});
