// Copy, download and print for the recovery codes.

import { copy } from "./page.js";

const list = document.getElementById("codes");
const status = document.getElementById("codes-status");
const lines = [...list.querySelectorAll("code")].map((code) => code.textContent);
const text = `Recovery codes of ${list.dataset.user} at ${location.host}\nEach works once.\n\n${lines.join("\n")}\n`;

document.getElementById("code-actions").hidden = false;

document.getElementById("codes-copy").addEventListener("click", async () => {
  try {
    await copy(text);
    status.textContent = "Copied.";
  } catch {
    status.textContent = "The browser did not allow it.";
  }
});

document.getElementById("codes-download").addEventListener("click", () => {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text], { type: "text/plain" }));
  link.download = `recovery-codes-${list.dataset.user.replace(/[^a-z0-9._-]/gi, "_")}.txt`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  status.textContent = "Downloaded.";
});

document.getElementById("codes-print").addEventListener("click", () => window.print());
