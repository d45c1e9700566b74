// What every page gains when scripts run: the reader's own time, copy buttons, visible passwords.

const near = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });

for (const time of document.querySelectorAll("time[datetime]")) {
  const moment = new Date(time.dateTime);
  if (Number.isNaN(moment.getTime())) continue;
  time.title = time.textContent;
  time.textContent = near.format(moment);
}

export async function copy(text) {
  if (navigator.clipboard) return navigator.clipboard.writeText(text);
  throw new Error("no clipboard");
}

for (const button of document.querySelectorAll("button[data-copy]")) {
  if (!navigator.clipboard) continue;
  const label = button.textContent;
  button.hidden = false;
  button.addEventListener("click", async () => {
    try {
      await copy(button.dataset.copy);
      button.textContent = "Copied";
    } catch {
      button.textContent = "Not allowed";
    }
    setTimeout(() => { button.textContent = label; }, 1500);
  });
}

for (const button of document.querySelectorAll("button[data-reveal]")) {
  const fields = button.dataset.reveal.split(" ").map((id) => document.getElementById(id)).filter(Boolean);
  button.hidden = false;
  button.setAttribute("aria-pressed", "false");
  button.addEventListener("click", () => {
    const hidden = fields[0].type === "password";
    for (const field of fields) field.type = hidden ? "text" : "password";
    button.textContent = hidden ? "Hide" : "Show";
    button.setAttribute("aria-pressed", String(hidden));
  });
  // a password is never sent, nor remembered by the browser, as plain text
  button.form?.addEventListener("submit", () => { for (const field of fields) field.type = "password"; });
}

const again = document.getElementById("again");
if (again) {
  const password = document.getElementById("password");
  const compare = () => {
    again.setCustomValidity(again.value && again.value !== password.value ? "The two passwords are not the same." : "");
  };
  password.addEventListener("input", compare);
  again.addEventListener("input", compare);
}
