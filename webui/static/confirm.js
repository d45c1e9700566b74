// Says yes to what the page shows, with a security key; the answer goes with the form's own fields.

import { available, explain, get, UNAVAILABLE } from "./webauthn.js";

const form = document.getElementById("confirm");
const button = document.getElementById("confirm-key");
const status = document.getElementById("confirm-status");

async function confirm() {
  button.disabled = true;
  status.textContent = "Touch your key, or follow what your device asks …";
  try {
    const answer = await get(JSON.parse(form.dataset.options));
    form.elements.namedItem("confirm_credential").value = JSON.stringify(answer);
    status.textContent = "The key answered. One moment …";
    form.submit();
  } catch (error) {
    status.textContent = explain(error);
    button.disabled = false;
  }
}

if (available) {
  button.hidden = false;
  button.addEventListener("click", confirm);
} else {
  status.textContent = UNAVAILABLE;
}
