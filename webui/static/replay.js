// Plays a recording. The file is fetched here, so that a refusal is told in words.

const place = document.getElementById("player");
const status = document.getElementById("player-status");

try {
  const answer = await fetch(place.dataset.cast);
  if (!answer.ok) throw new Error(answer.status === 403 ? "you may not see it" : `the server answered ${answer.status}`);
  const data = await answer.text();
  status.remove();
  AsciinemaPlayer.create({ data }, place, {
    fit: "width", idleTimeLimit: 3, preload: true, poster: "npt:0:01", terminalFontSize: "15px", theme: "asciinema",
  });
  place.dataset.ready = "yes";
} catch (error) {
  status.textContent = `The recording could not be played: ${error.message}.`;
}
