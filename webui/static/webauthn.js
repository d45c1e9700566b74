// navigator.credentials with JSON in and JSON out (WebAuthn Level 3, sections 5.1.8 to 5.1.10), also where
// the browser does not do the conversion itself.

function bytes(text) {
  const plain = atob(text.replaceAll("-", "+").replaceAll("_", "/"));
  return Uint8Array.from(plain, (char) => char.charCodeAt(0)).buffer;
}

function text(buffer) {
  const plain = String.fromCharCode(...new Uint8Array(buffer));
  return btoa(plain).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}

const named = (list) => (list ?? []).map((item) => ({ ...item, id: bytes(item.id) }));

function creationOptions(json) {
  if (PublicKeyCredential.parseCreationOptionsFromJSON) return PublicKeyCredential.parseCreationOptionsFromJSON(json);
  const user = { ...json.user, id: bytes(json.user.id) };
  return { ...json, user, challenge: bytes(json.challenge), excludeCredentials: named(json.excludeCredentials) };
}

function requestOptions(json) {
  if (PublicKeyCredential.parseRequestOptionsFromJSON) return PublicKeyCredential.parseRequestOptionsFromJSON(json);
  return { ...json, challenge: bytes(json.challenge), allowCredentials: named(json.allowCredentials) };
}

function asJson(credential) {
  if (credential.toJSON) return credential.toJSON();
  const response = {};
  for (const name of ["clientDataJSON", "attestationObject", "authenticatorData", "signature", "userHandle"]) {
    if (credential.response[name]) response[name] = text(credential.response[name]);
  }
  if (credential.response.getTransports) response.transports = credential.response.getTransports();
  return {
    id: credential.id,
    rawId: text(credential.rawId),
    type: credential.type,
    authenticatorAttachment: credential.authenticatorAttachment ?? undefined,
    clientExtensionResults: credential.getClientExtensionResults(),
    response,
  };
}

// The relying party's options may stand alone or under `publicKey`.
const inner = (json) => json.publicKey ?? json;

export const available = typeof PublicKeyCredential !== "undefined";

export async function create(json, signal) {
  return asJson(await navigator.credentials.create({ publicKey: creationOptions(inner(json)), signal }));
}

export async function get(json, signal) {
  return asJson(await navigator.credentials.get({ publicKey: requestOptions(inner(json)), signal }));
}

export function explain(error) {
  switch (error?.name) {
    case "NotAllowedError":
      return "The key was not used: it was refused, took too long, or is not one of yours here. Try again.";
    case "InvalidStateError":
      return "This key is registered already. Use another one.";
    case "SecurityError":
      return "This browser refuses security keys on this page, because of its address or its certificate.";
    case "NotSupportedError":
      return "This key can't do what is needed here. Use another one.";
    case "AbortError":
      return "Stopped.";
    default:
      return `The key could not be used (${error?.message ?? "unknown reason"}).`;
  }
}

export const UNAVAILABLE =
  "This browser offers no security keys here. If it shows a certificate warning, that is why: see below.";
