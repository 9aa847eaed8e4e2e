// An OpenID provider for the tests of OAuth: oidc-provider over HTTPS, with rotating refresh tokens, device login
// and introspection. Each line on standard input is an order in JSON, answered by one line on standard output:
//
//     {"do": "grant"}                         a refresh token, as after a login in a browser
//     {"do": "approve", "code": "ABCD-EFGH"}  what a person does who was shown this code
//     {"do": "revoke", "token": …}            an access token is of no use any more
//     {"do": "behave", "as": "well" | "down" | "silent" | "lie" | "lose" | "wordy" | "generous", "life": seconds}
//     {"do": "count"}                         requests to the token endpoint so far, by grant type
//
// "lose": the token endpoint does its work, and the answer never arrives. "generous": a refresh token comes with what client
// credentials get, which RFC 6749 section 4.4.3 advises against.
import fs from "node:fs";
import https from "node:https";
import path from "node:path";
import readline from "node:readline";
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

const [modules, certificate, key, account] = process.argv.slice(2);
const require = createRequire(path.join(modules, "x.js"));
const { default: Provider } = await import(pathToFileURL(require.resolve("oidc-provider")).href);

const server = https.createServer({ cert: fs.readFileSync(certificate), key: fs.readFileSync(key) });
await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
const { port } = server.address();
const issuer = `https://localhost:${port}`;
let mode = "well", life = 3600;
const counts = {};

const client = (id, method) => ({
    client_id: id, client_secret: `${id}-secret-5d0c`, token_endpoint_auth_method: method, redirect_uris: [],
    response_types: [], scope: "openid offline_access",
    grant_types: ["refresh_token", "client_credentials", "urn:ietf:params:oauth:grant-type:device_code"],
});
const provider = new Provider(issuer, {
    clients: [client("relay", "client_secret_post"), client("basic", "client_secret_basic"), client("dovecot", "client_secret_basic")],
    features: { clientCredentials: { enabled: true }, deviceFlow: { enabled: true }, introspection: { enabled: true },
                devInteractions: { enabled: false }, resourceIndicators: { enabled: false } },
    rotateRefreshToken: true,
    extraTokenClaims: () => ({ user: account }),
    findAccount: (_, id) => ({ accountId: id, claims: () => ({ sub: id }) }),
    ttl: { AccessToken: () => life, ClientCredentials: () => life, DeviceCode: 600, Grant: 86400, IdToken: 3600, RefreshToken: 86400 },
    issueRefreshToken: () => true,
    cookies: { keys: ["test"] },
});
provider.proxy = true;
const callback = provider.callback();

server.on("request", (request, response) => {
    if (request.url.startsWith("/token") && !request.url.includes("introspection")) {
        if (mode === "silent")
            return;
        if (mode === "down") {
            counts.down = (counts.down || 0) + 1;
            response.writeHead(503).end("no");
            return;
        }
        if (mode === "lie") {
            response.writeHead(200, { "Content-Type": "application/json" }).end('{"access_token":"two\\r\\nlines","token_type":"Bearer"}');
            return;
        }
        if (mode === "wordy") {
            let body = "";
            request.on("data", (data) => { body += data; });
            request.on("end", () => response.writeHead(400, { "Content-Type": "application/json" }).end(
                JSON.stringify({ error: "invalid_request", error_description: decodeURIComponent(body) })));
            return;
        }
        if (mode === "lose") {
            const { end } = response;
            response.write = () => true;
            response.end = () => { request.socket.destroy(); return response; };
            void end;
        }
        if (mode === "generous")
            addRefreshToken(response);
    }
    callback(request, response);
});
const note = (kind) => (ctx) => { if (kind) counts[ctx.oidc.params.grant_type] = (counts[ctx.oidc.params.grant_type] || 0) + 1; };
provider.on("grant.success", note(true));
provider.on("grant.error", (ctx, error) => { counts.refused = (counts.refused || 0) + 1; counts.why = error.error; });

async function grant(clientId) {
    const made = new provider.Grant({ accountId: account, clientId });
    made.addOIDCScope("openid offline_access");
    return made.save();
}

async function refreshToken(clientId) {
    const token = new provider.RefreshToken({
        accountId: account, client: await provider.Client.find(clientId), grantId: await grant(clientId),
        gty: "authorization_code", scope: "openid offline_access", authTime: Math.floor(Date.now() / 1000), rotations: 0 });
    return token.save();
}

function addRefreshToken(response) {
    const end = response.end.bind(response);
    response.end = (body) => {
        const answer = JSON.parse(body);
        if (!answer.access_token || answer.refresh_token)
            return end(body);
        refreshToken("relay").then((token) => {
            const text = JSON.stringify({ ...answer, refresh_token: token, refresh_token_expires_in: 86400 });
            response.setHeader("Content-Length", Buffer.byteLength(text));
            end(text);
        });
        return response;
    };
}

const orders = {
    async grant({ client: clientId = "relay" }) {
        return { token: await refreshToken(clientId) };
    },
    async approve({ code }) {
        const found = await provider.DeviceCode.findByUserCode(code.replace(/-/g, ""));
        found.accountId = account;
        found.grantId = await grant(found.clientId);
        found.scope = "openid offline_access";
        found.authTime = Math.floor(Date.now() / 1000);
        await found.save();
        return {};
    },
    async revoke({ token }) {
        const found = await provider.AccessToken.find(token) || await provider.ClientCredentials.find(token);
        await found.destroy();
        return {};
    },
    async behave(order) {
        mode = order.as ?? mode;
        life = order.life ?? life;
        return {};
    },
    async count() { return counts; },
};

console.log(JSON.stringify({ issuer }));
for await (const line of readline.createInterface({ input: process.stdin })) {
    const order = JSON.parse(line);
    console.log(JSON.stringify(await orders[order.do](order).catch((error) => ({ error: String(error) }))));
}
process.exit(0);
