// What the theme leaves undone for readers without a mouse.
document.addEventListener("click", (event) => {
  // The theme lets go of its button; pressed by key (no clicks are counted then), it keeps the focus.
  const button = event.target.closest(".theme-switch-button");
  if (button && event.detail === 0) setTimeout(() => button.focus());
});
// The arrows that unfold a part of the side bar have no name.
addEventListener("DOMContentLoaded", () => {
  for (const arrow of document.querySelectorAll(".has-children > details > summary"))
    arrow.setAttribute("aria-label", `Pages of ${arrow.closest(".has-children").querySelector("a").textContent.trim()}`);
});
