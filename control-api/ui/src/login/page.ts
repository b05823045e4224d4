/** Sign-in. */
import * as api from "../api.js";
import { h, setText } from "../dom.js";
import { Latest } from "../latest.js";
import { root } from "../shell.js";

export function loginPage(): void {
  const attempts = new Latest();
  const email = h("input", { id: "login-email", name: "email", type: "email", autocomplete: "username", required: true, autofocus: true });
  const password = h("input", { id: "login-password", name: "password", type: "password", autocomplete: "current-password", required: true });
  const submit = h("button", { id: "login-submit", class: "primary wide", type: "submit" }, "Sign in");
  const problem = h("p", { id: "login-problem", class: "problem", role: "alert" });

  const send = async (event: Event): Promise<void> => {
    event.preventDefault();
    const wanted = attempts.begin();
    submit.disabled = true;
    setText(problem, "");
    try {
      await api.login(email.value, password.value);
      location.assign(next());
    } catch (error) {
      if (!wanted()) return;
      setText(problem, error instanceof Error ? error.message : "Sign in failed.");
      submit.disabled = false;
      password.select();
    }
  };

  root().replaceChildren(
    h(
      "main",
      { class: "narrow login" },
      h(
        "form",
        { class: "card", onsubmit: (event: Event) => void send(event) },
        h("div", { class: "login-brand" }, h("img", { src: "/favicon.svg", alt: "", width: 44, height: 44 }), h("h1", {}, "Tandem")),
        h("p", { class: "muted" }, "Calls across two languages."),
        h("label", { for: "login-email" }, "Email"),
        email,
        h("label", { for: "login-password" }, "Password"),
        password,
        problem,
        submit,
        h("p", { class: "hint" }, "In the demo, email and password are printed in the terminal."),
      ),
    ),
  );
  email.focus();
}

/** Where to go afterwards: a path of this server, nothing else. */
function next(): string {
  const wanted = new URLSearchParams(location.search).get("next") ?? "";
  return /^\/(agent|live)(#[\w-]*)?$/.test(wanted) ? wanted : "/agent";
}
