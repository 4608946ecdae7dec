// Paper cannot be clicked: what is folded is open while the page is printed, and as it was afterwards.
const openedForPrint = [];
window.addEventListener("beforeprint", () => {
  document.querySelectorAll("article details:not([open])").forEach((folded) => {
    folded.open = true;
    openedForPrint.push(folded);
  });
});
window.addEventListener("afterprint", () => {
  openedForPrint.splice(0).forEach((folded) => (folded.open = false));
});
