// Registers a key when the sign-up form is sent, then sends the form with the key's answer.

import { available, create, explain, UNAVAILABLE } from "./webauthn.js";

const form = document.getElementById("enrol");
const button = document.getElementById("enrol-key");
const status = document.getElementById("key-status");
const credential = form.elements.namedItem("credential");

if (available) button.disabled = false;
else status.textContent = UNAVAILABLE;

form.addEventListener("submit", async (event) => {
  if (credential.value) return;
  event.preventDefault();
  button.disabled = true;
  status.textContent = "Touch your key, or follow what your device asks …";
  try {
    credential.value = JSON.stringify(await create(JSON.parse(form.dataset.options)));
    status.textContent = "The key answered. One moment …";
    form.submit();
  } catch (error) {
    status.textContent = explain(error);
    button.disabled = false;
  }
});
