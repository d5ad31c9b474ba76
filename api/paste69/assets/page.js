// Copy buttons. Pages work without this: the buttons are hidden, or not there,
// until it runs.
"use strict";

function textOf(button) {
  if (button.dataset.copy !== undefined) return button.dataset.copy;
  const source = document.getElementById(button.dataset.copyFrom);
  const rows = source.querySelectorAll(".tx");
  if (rows.length > 0) return Array.from(rows, (row) => row.textContent).join("");
  const words = source.cloneNode(true);
  words.querySelectorAll(".prompt").forEach((prompt) => prompt.remove());
  return words.textContent;
}

// The clipboard API is there on https and localhost only; a selection works
// everywhere.
async function copy(text) {
  if (navigator.clipboard && window.isSecureContext) {
    await navigator.clipboard.writeText(text);
    return;
  }
  const area = document.createElement("textarea");
  area.className = "unseen";
  area.value = text;
  document.body.append(area);
  area.select();
  const done = document.execCommand("copy");
  area.remove();
  if (!done) throw new Error("copy");
}

function arm(button) {
  const label = button.textContent;
  let timer;
  button.hidden = false;
  button.addEventListener("click", async () => {
    try {
      await copy(textOf(button));
      button.textContent = "Copied";
    } catch {
      button.textContent = "Press Ctrl+C";
    }
    clearTimeout(timer);
    timer = setTimeout(() => { button.textContent = label; }, 1600);
  });
}

document.querySelectorAll("button[data-copy], button[data-copy-from]").forEach(arm);

document.querySelectorAll(".snippet").forEach((snippet, i) => {
  const code = snippet.querySelector("code");
  if (!code.id) code.id = "snippet-" + i;
  const button = document.createElement("button");
  button.type = "button";
  button.className = "button copy";
  button.textContent = "Copy";
  button.dataset.copyFrom = code.id;
  snippet.append(button);
  arm(button);
});
