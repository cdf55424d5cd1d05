// oidc-provider with everything in memory: a public client with PKCE, refresh tokens that rotate, access tokens for one
// resource. It mints no id_token, because no code here has the scope openid. Prints its port.
//
//   POST /bench/codes     {count, format}: that many codes, as a browser would have brought them; format is that of the access token
import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { createServer } from 'node:http';
import Provider from 'oidc-provider';

const resource = 'http://127.0.0.1:3001/mcp';
const opaque = 'http://127.0.0.1:3001/opaque'; // oidc-provider introspects no JWT
const scope = 'tools:read tools:write';

// Memory keeps everything until the process ends. The built-in one forgets after 1,000 entries and gets slower with the size of a grant.
class Memory {
  static entries = new Map();

  constructor(model) { this.model = model; }

  key(id) { return `${this.model}:${id}`; }

  async upsert(id, payload) { Memory.entries.set(this.key(id), payload); }

  async find(id) { return Memory.entries.get(this.key(id)); }

  async findByUid() { return undefined; }

  async findByUserCode() { return undefined; }

  async destroy(id) { Memory.entries.delete(this.key(id)); }

  async consume(id) { Memory.entries.get(this.key(id)).consumed = Math.floor(Date.now() / 1000); }

  async revokeByGrantId(grantId) {
    for (const [key, payload] of Memory.entries) if (payload.grantId === grantId) Memory.entries.delete(key);
  }
}

const signing = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey.export({ format: 'jwk' });
const server = createServer();
await new Promise((resolve) => { server.listen(0, '127.0.0.1', resolve); });
const { port } = server.address();
const provider = new Provider(`http://127.0.0.1:${port}`, {
  adapter: Memory,
  clients: [
    {
      client_id: 'cli', token_endpoint_auth_method: 'none', redirect_uris: ['http://127.0.0.1/cb'], application_type: 'native',
      grant_types: ['authorization_code', 'refresh_token'], response_types: ['code'],
    },
    {
      client_id: 'office', client_secret: 'office-secret-0123456789', token_endpoint_auth_method: 'client_secret_basic',
      grant_types: [], response_types: [], redirect_uris: [],
    },
  ],
  jwks: { keys: [{ ...signing, alg: 'ES256', use: 'sig' }] },
  clientDefaults: { id_token_signed_response_alg: 'ES256' },
  cookies: { keys: [randomBytes(32).toString('hex')] },
  scopes: ['openid', 'offline_access', ...scope.split(' ')],
  clientAuthMethods: ['none', 'client_secret_basic'],
  findAccount: async (ctx, id) => ({ accountId: id, claims: async () => ({ sub: id }) }),
  issueRefreshToken: async () => true,
  rotateRefreshToken: true,
  ttl: { AccessToken: 1800, AuthorizationCode: 600, Grant: 86400, RefreshToken: 86400 },
  features: {
    devInteractions: { enabled: false },
    introspection: { enabled: true, allowedPolicy: async () => true },
    revocation: { enabled: true },
    resourceIndicators: {
      enabled: true,
      useGrantedResource: async () => true,
      getResourceServerInfo: async (ctx, indicator) => ({
        scope, audience: indicator, accessTokenTTL: 1800, ...(indicator === resource && { accessTokenFormat: 'jwt', jwt: { sign: { alg: 'ES256' } } }),
      }),
    },
  },
});

async function codes(count, format) {
  const client = await provider.Client.find('cli');
  const indicator = format === 'opaque' ? opaque : resource;
  const out = [];
  for (let i = 0; i < count; i += 1) {
    const accountId = `p${i % 64}`;
    const grant = new provider.Grant({ accountId, clientId: 'cli' });
    grant.addResourceScope(indicator, scope);
    const grantId = await grant.save();
    out.push(await new provider.AuthorizationCode({
      accountId, client, grantId, scope, resource: indicator, redirectUri: 'http://127.0.0.1:5555/cb', authTime: Math.floor(Date.now() / 1000),
      codeChallenge: 'E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM', codeChallengeMethod: 'S256',
    }).save());
  }
  return out;
}

const standard = provider.callback();
server.on('request', (request, response) => {
  if (request.url !== '/bench/codes') {
    standard(request, response);
    return;
  }
  let text = '';
  request.on('data', (chunk) => { text += chunk; }).on('end', async () => {
    const { count, format } = JSON.parse(text);
    response.end(JSON.stringify(await codes(count, format)));
  });
});
console.log(`listening on ${port}`);
