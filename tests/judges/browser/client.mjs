// The client's side of the browser tests: a callback that remembers what it receives, and the pages of an attacker.
import { createHash } from "node:crypto";
import { createServer } from "node:http";

export const verifier = "the-verifier-of-the-browser-judge-is-no-secret-01";
export const challengeOf = (text) => createHash("sha256").update(text).digest("base64url");

const escape = (text) => text.replaceAll("&", "&amp;").replaceAll('"', "&quot;").replaceAll("<", "&lt;");

// attackPage frames an address, or holds a form of ours that waits for a click.
function attackPage(params) {
	if (params.has("frame")) return `<iframe src="${escape(params.get("frame"))}" width="800" height="800"></iframe>`;
	const fields = [...params].filter(([name]) => name !== "post").map(([name, value]) => `<input type="hidden" name="${escape(name)}" value="${escape(value)}">`);
	return `<form method="post" action="${escape(params.get("post"))}">${fields.join("")}<button>win a prize</button></form>`;
}

export async function callbackServer() {
	const calls = [];
	const server = createServer((request, response) => {
		const { pathname, searchParams } = new URL(request.url, "http://localhost");
		if (pathname === "/callback") calls.push({ params: searchParams, cookie: request.headers.cookie });
		const known = pathname === "/callback" || pathname === "/attack";
		response.writeHead(known ? 200 : 404, { "content-type": "text/html" });
		response.end(pathname === "/attack" ? attackPage(searchParams) : "<title>client</title>You can close this page.");
	});
	await new Promise((resolve, reject) => server.once("error", reject).listen(0, "127.0.0.1", resolve));
	const { port } = server.address();
	return {
		calls,
		url: `http://127.0.0.1:${port}/callback`,
		last: () => calls.at(-1),
		attack: (params) => `http://localhost:${port}/attack?${new URLSearchParams(params)}`,
		close: () => { server.closeAllConnections(); server.close(); },
	};
}
