// Signs in with a security key after the password, or with a passkey alone.

import { available, explain, get } from "./webauthn.js";

const form = document.getElementById("sign-in");
const status = document.getElementById("key-status");
const buttons = [document.getElementById("use-key"), document.getElementById("use-passkey")];
const field = (name) => form.elements.namedItem(name);

async function challenge(user, password) {
  const answer = await fetch(form.dataset.challenge, {
    method: "POST",
    headers: { "Content-Type": "application/json", "Sallyport-Form": field("form_token").value },
    body: JSON.stringify({ user, password }),
  });
  const said = await answer.json();
  if (!answer.ok) throw Object.assign(new Error(said.message), { told: true });
  return said;
}

async function use(user, password) {
  for (const button of buttons) button.disabled = true;
  status.textContent = "Touch your key, or follow what your device asks …";
  try {
    const { attempt, options } = await challenge(user, password);
    const answer = await get(options);
    field("attempt").value = attempt;
    field("credential").value = JSON.stringify(answer);
    status.textContent = "The key answered. One moment …";
    form.submit();
  } catch (error) {
    status.textContent = error.told ? error.message : explain(error);
    for (const button of buttons) button.disabled = false;
  }
}

if (available) {
  buttons[0].hidden = false;
  document.getElementById("passkey").hidden = false;
  buttons[0].addEventListener("click", () => {
    for (const name of ["user", "password"]) {
      if (!field(name).reportValidity()) return;
    }
    use(field("user").value.trim(), field("password").value);
  });
  buttons[1].addEventListener("click", () => {
    field("password").value = "";
    use("", "");
  });
  form.addEventListener("submit", (event) => {
    // Enter without a code means the key
    if (field("code").value.trim() || !form.dataset.keyFirst) return;
    event.preventDefault();
    buttons[0].click();
  });
} else {
  status.textContent = "This browser offers no security keys here; a certificate warning is a common reason.";
}
