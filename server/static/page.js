// Everything works without this file. It only makes two accidents less likely.

// A form is sent once. After five seconds it may be sent again, in case the network ate the first try.
for (const form of document.forms) {
  form.addEventListener("submit", (event) => {
    if (form.dataset.sent) {
      event.preventDefault();
      return;
    }
    form.dataset.sent = "yes";
    setTimeout(() => delete form.dataset.sent, 5000);
  });
}
addEventListener("pageshow", () => {
  for (const form of document.forms) delete form.dataset.sent;
});

// The button that allows works only after the page was visible and focused for half a second, so that a page slipped
// under the pointer during a double click cannot be answered.
const allow = document.querySelector("button[data-hold]");
if (allow) {
  let timer;
  const hold = () => {
    clearTimeout(timer);
    allow.setAttribute("aria-disabled", "true");
    if (document.visibilityState === "visible" && document.hasFocus()) {
      timer = setTimeout(() => allow.removeAttribute("aria-disabled"), 500);
    }
  };
  allow.addEventListener("click", (event) => {
    if (allow.getAttribute("aria-disabled") === "true") event.preventDefault();
  });
  addEventListener("focus", hold);
  addEventListener("blur", hold);
  addEventListener("pageshow", hold);
  document.addEventListener("visibilitychange", hold);
  hold();
}
