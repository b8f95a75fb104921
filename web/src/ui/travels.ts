/** Rows travel to their new place when a list is put in another order: one sees where what moved has gone. */

const LONGEST_PIXELS = 1200;
const MOTION = { duration: 240, easing: "cubic-bezier(0.2, 0.8, 0.2, 1)" };

export function travels(list: HTMLElement) {
  const places = new Map<string, number>();
  const still = matchMedia("(prefers-reduced-motion: reduce)");
  const look = () => {
    for (const row of list.querySelectorAll<HTMLElement>("a[data-step]")) {
      const name = row.getAttribute("href") ?? "";
      const now = row.offsetTop;
      const way = (places.get(name) ?? now) - now;
      places.set(name, now);
      if (way && Math.abs(way) < LONGEST_PIXELS && !still.matches)
        row.animate([{ transform: `translateY(${String(way)}px)` }, { transform: "none" }], MOTION);
    }
  };
  const watch = new MutationObserver(look);
  watch.observe(list, { childList: true, subtree: true });
  look();
  return () => { watch.disconnect(); };
}
