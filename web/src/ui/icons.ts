/** Drawn on a 24 grid with one stroke; each is decoration beside a word. */
export const PATHS = {
  threads: "M5 6.5h14v9.5H11l-4 3.5v-3.5H5z",
  needs: "M12 4.5a5 5 0 0 0-5 5c0 5-2 6.5-2 6.5h14s-2-1.5-2-6.5a5 5 0 0 0-5-5zM10.2 19a2 2 0 0 0 3.6 0",
  computers: "M4.5 5.5h15v10h-15zM9 19h6M12 15.5V19",
  settings: "M5 8h8M17 8h2M5 16h2M11 16h8M13 8a2 2 0 1 0 4 0a2 2 0 1 0-4 0M7 16a2 2 0 1 0 4 0a2 2 0 1 0-4 0",
  send: "M12 19V5.5M6 11.5l6-6l6 6",
  back: "M14.5 5.5L8 12l6.5 6.5",
  close: "M6.5 6.5l11 11M17.5 6.5l-11 11",
  check: "M5 12.5l4.5 4.5L19 7.5",
  double: "M2.5 12.5L7 17l9-9.5M11 16l1 1l9.5-9.5",
  clock: "M12 4.5a7.5 7.5 0 1 0 0 15a7.5 7.5 0 1 0 0-15M12 8v4.2l2.8 1.8",
  alert: "M12 4.5l8 14.5H4zM12 10v4M12 16.4v.2",
  cross: "M7 7l10 10M17 7L7 17",
  file: "M7 4h7l4 4v12H7zM14 4v4h4",
  folder: "M4 7h5.5l2 2H20v9.5H4z",
  download: "M12 5v9.5M7.5 10.5L12 15l4.5-4.5M5.5 19h13",
  stop: "M7.5 7.5h9v9h-9z",
  pause: "M9 7v10M15 7v10",
  play: "M8.5 6.5l9 5.5l-9 5.5z",
  retry: "M18.5 12a6.5 6.5 0 1 1-2-4.7M18.5 4.5v4h-4",
  shield: "M12 4l7 2.5v5c0 4-3 7-7 8.5c-4-1.5-7-4.5-7-8.5v-5z",
  question: "M9 9.2a3 3 0 1 1 4.4 2.7c-.9.5-1.4 1.1-1.4 2.1M12 17v.2",
  device: "M8 3.5h8v17H8zM11 17.5h2",
  plus: "M12 5.5v13M5.5 12h13",
  chevron: "M8 10l4 4l4-4",
} as const;

export type IconName = keyof typeof PATHS;
