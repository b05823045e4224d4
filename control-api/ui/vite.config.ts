import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import { defineConfig, type Plugin } from "vite";
import pages from "./pages.json" with { type: "json" };

const ROOT = import.meta.dirname;

/**
 * Makes the HTML file of each page in `pages.json` from `shell.html`. The server reads the same table for its routes, so this is the
 * only list of pages.
 */
function shells(): Plugin {
  const files = new Map(pages.map((page) => [resolve(ROOT, `${page.name}.html`), page]));
  const html = (page: (typeof pages)[number]): string =>
    readFileSync(resolve(ROOT, "shell.html"), "utf8")
      .replace("{{title}}", page.title ? `${page.title} · Tandem` : "Tandem")
      .replace("{{script}}", page.script);
  return {
    name: "tandem-shells",
    config: () => ({ build: { rollupOptions: { input: [...files.keys()] } } }),
    resolveId: (id) => (files.has(id) ? id : undefined),
    load(id) {
      const page = files.get(id);
      return page && html(page);
    },
    configureServer(server) {
      server.middlewares.use((request, response, next) => {
        const url = request.url ?? "/";
        const path = url.replace(/[?#].*$/, "").split("/");
        // `{id}` in a path stands for any name.
        const page = pages.find((one) => {
          const parts = one.path.split("/");
          return parts.length === path.length && parts.every((part, at) => part === path[at] || part.startsWith("{"));
        });
        if (!page) return next();
        response.setHeader("Content-Type", "text/html; charset=utf-8");
        server.transformIndexHtml(url, html(page)).then((text) => response.end(text), next);
      });
    },
  };
}

export default defineConfig({
  plugins: [shells()],
  build: {
    target: "es2022",
    // Inlined assets would be data: URLs, which the pages' content security policy forbids.
    assetsInlineLimit: 0,
    // The preload polyfill is an inline script in some setups, and every supported browser has preloading.
    modulePreload: { polyfill: false },
  },
  server: { proxy: { "/api": "http://127.0.0.1:8080", "/sip": { target: "ws://127.0.0.1:8080", ws: true } } },
});
