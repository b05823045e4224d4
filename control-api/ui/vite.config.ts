import { resolve } from "node:path";
import { defineConfig } from "vite";

// One HTML file per page, all with the same module, which chooses the page by path: the server may serve /agent from agent.html or
// from index.html.
export default defineConfig({
  build: {
    target: "es2022",
    // Inlined assets would be data: URLs, which the pages' content security policy forbids.
    assetsInlineLimit: 0,
    // The preload polyfill is an inline script in some setups, and every supported browser has preloading.
    modulePreload: { polyfill: false },
    rollupOptions: {
      input: ["index", "login", "signup", "invitation", "reset", "agent", "live", "calls", "call", "settings"].map((page) =>
        resolve(import.meta.dirname, `${page}.html`),
      ),
    },
  },
  server: { proxy: { "/api": "http://127.0.0.1:8080", "/sip": { target: "ws://127.0.0.1:8080", ws: true } } },
});
