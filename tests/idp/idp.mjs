// Local OpenID Provider for tests: panva/oidc-provider + fault injection + counters + RFC 8693 / Entra OBO.
// Env: PORT(0: the system chooses) TLS_PORT(unset: no TLS; 0: the system chooses) ISSUER(http://127.0.0.1:port)
//      KEYS(directory that mkkeys.py filled) AT_TTL(60) RT_TTL(3600) ID_TTL(60) ROTATE(always|never|default)
//      AT_FORMAT(jwt|opaque) DPOP_NONCE(1: required) DEBUG(1: errors on stderr) EXIT_WITH_STDIN(1: end when stdin does)
// Ready when it prints `ready <issuer> [<TLS port>]`.
import http from 'node:http';
import https from 'node:https';
import fs from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { Provider, errors } from 'oidc-provider';
import * as grants from 'oidc-provider/lib/helpers/grants.js';
import { createLocalJWKSet, jwtVerify, generateKeyPair, exportJWK } from 'jose';

const here = path.dirname(fileURLToPath(import.meta.url));
const env = (k, d) => process.env[k] ?? d;
const KEYS = env('KEYS', path.join(here, 'keys'));
const read = (f) => JSON.parse(fs.readFileSync(path.join(KEYS, f)));
const pem = (f) => fs.readFileSync(path.join(KEYS, f));

// The ports come first: the issuer is named after one. Nobody knows them before the line `ready`.
const listen = (server, port) =>
  new Promise((resolve, reject) => {
    server.once('error', reject).listen(+port, '127.0.0.1', () => resolve(server.address().port));
  });
const onRequest = (req, res) => handler(req, res);
const PORT = await listen(http.createServer(onRequest), env('PORT', 0));
const TLS_PORT =
  env('TLS_PORT') === undefined
    ? undefined
    : await listen(
        https.createServer(
          { key: pem('server.key'), cert: pem('server.crt'), requestCert: true, rejectUnauthorized: false },
          onRequest,
        ),
        env('TLS_PORT'),
      );
const ISSUER = env('ISSUER', `http://127.0.0.1:${PORT}`);
const cfg = {
  at: +env('AT_TTL', 60),
  rt: +env('RT_TTL', 3600),
  id: +env('ID_TTL', 60),
  rotate: env('ROTATE', 'always'),
  refresh_in: 0,
  format: env('AT_FORMAT', 'jwt'),
  skew: 0,
  exchange: true,
};

// clock that tests may move (POST /__ctl {"skew": 3600}); epoch_time.js reads Date.now()
const realNow = Date.now.bind(Date);
Date.now = () => realNow() + cfg.skew * 1000;

// ---- storage: unbounded map (the bundled adapter is an LRU of 1000 entries: too small under load)
const db = new Map();
class Adapter {
  constructor(name) {
    this.name = name;
  }
  k(id) {
    return `${this.name}:${id}`;
  }
  async upsert(id, payload, ttl) {
    db.set(this.k(id), { payload, exp: ttl ? Date.now() + ttl * 1000 : Infinity });
  }
  async find(id) {
    const e = db.get(this.k(id));
    return e && e.exp > Date.now() - 60_000 ? e.payload : undefined;
  }
  async #by(prop, v) {
    for (const [k, e] of db) if (k.startsWith(this.name + ':') && e.payload[prop] === v) return e.payload;
    return undefined;
  }
  findByUid(v) {
    return this.#by('uid', v);
  }
  findByUserCode(v) {
    return this.#by('userCode', v);
  }
  async consume(id) {
    const e = db.get(this.k(id));
    if (e) e.payload.consumed = Math.floor(Date.now() / 1000);
  }
  async destroy(id) {
    db.delete(this.k(id));
  }
  async revokeByGrantId(g) {
    for (const [k, e] of db) if (e.payload.grantId === g) db.delete(k);
  }
}

// ---- accounts look like Entra's: oid/tid/preferred_username
const TID = '72f988bf-0000-4000-8000-2d7cd011db47';
const account = (sub) => ({
  accountId: sub,
  claims: async () => ({
    sub,
    oid: `00000000-0000-4000-8000-${Buffer.from(sub).toString('hex').padStart(12, '0').slice(-12)}`,
    tid: TID,
    preferred_username: `${sub}@example.test`,
    name: sub,
    email: `${sub}@example.test`,
    ver: '2.0',
  }),
});

// ---- resource servers (audiences). Entra style: scope "api://orders/.default" selects the resource by itself.
const APIS = {
  'api://orders': ['orders.read', 'orders.write'],
  'api://billing': ['billing.read'],
  'api://middle': ['access'],
  'https://graph.example.test': ['User.Read', 'Mail.Read'],
};
const scopesOf = (r) => [...APIS[r], '.default', ...APIS[r].map((s) => `${r}/${s}`), `${r}/.default`];
const resourceInfo = (r) => {
  if (!APIS[r]) throw new errors.InvalidTarget(`unknown resource ${r}`);
  return {
    audience: r,
    scope: scopesOf(r).join(' '),
    accessTokenTTL: cfg.at,
    accessTokenFormat: cfg.format,
    jwt: { sign: { alg: 'RS256' } },
  };
};
const fromScope = (scope = '') => [
  ...new Set(
    scope
      .split(' ')
      .map((s) => Object.keys(APIS).find((r) => s.startsWith(r + '/')))
      .filter(Boolean),
  ),
];

const GT_TX = 'urn:ietf:params:oauth:grant-type:token-exchange',
  GT_OBO = 'urn:ietf:params:oauth:grant-type:jwt-bearer';
const DEVICE = 'urn:ietf:params:oauth:grant-type:device_code';
const none = { token_endpoint_auth_method: 'none', application_type: 'native', response_types: ['code'] };
const cc = { grant_types: ['client_credentials'], response_types: [], redirect_uris: [] };
const loop = ['127.0.0.1', 'localhost'].flatMap((host) => ['', '/', '/callback'].map((p) => `http://${host}${p}`));
// Native, so that the test's web site may be on any port.
const web = {
  application_type: 'native',
  grant_types: ['authorization_code', 'refresh_token'],
  response_types: ['code'],
  redirect_uris: loop,
};
const clients = [
  {
    client_id: 'cli',
    client_name: 'warmtoken CLI',
    ...none,
    grant_types: ['authorization_code', 'refresh_token', DEVICE],
    redirect_uris: loop,
    post_logout_redirect_uris: loop,
  },
  {
    client_id: 'cli-dpop',
    ...none,
    grant_types: ['authorization_code', 'refresh_token'],
    redirect_uris: loop,
    dpop_bound_access_tokens: true,
  },
  {
    client_id: 'cli-par',
    ...none,
    grant_types: ['authorization_code', 'refresh_token'],
    redirect_uris: loop,
    require_pushed_authorization_requests: true,
  },
  {
    client_id: 'svc',
    client_secret: 'svc-secret-0123456789',
    token_endpoint_auth_method: 'client_secret_basic',
    ...cc,
  },
  {
    client_id: 'svc-post',
    client_secret: 'svc-secret-0123456789',
    token_endpoint_auth_method: 'client_secret_post',
    ...cc,
  },
  { client_id: 'svc-jwt', token_endpoint_auth_method: 'private_key_jwt', jwks: read('svc-jwt.pub.jwks.json'), ...cc },
  {
    client_id: 'svc-mtls',
    token_endpoint_auth_method: 'self_signed_tls_client_auth',
    jwks: read('svc-mtls.pub.jwks.json'),
    tls_client_certificate_bound_access_tokens: true,
    ...cc,
  },
  {
    client_id: 'middle',
    client_secret: 'middle-secret-0123456789',
    token_endpoint_auth_method: 'client_secret_post',
    grant_types: ['client_credentials', GT_TX, GT_OBO, 'refresh_token'],
    response_types: [],
    redirect_uris: [],
  },
  {
    client_id: 'web',
    client_secret: 'web-secret-0123456789',
    ...web,
  },
  { client_id: 'web-jwt', token_endpoint_auth_method: 'private_key_jwt', jwks: read('svc-jwt.pub.jwks.json'), ...web },
];

const newKey = async () => ({
  kid: `k${Date.now()}`,
  ...(await exportJWK((await generateKeyPair('RS256', { extractable: true })).privateKey)),
  alg: 'RS256',
  use: 'sig',
});
const jwks = { keys: [await newKey()] };

const provider = new Provider(ISSUER, {
  adapter: Adapter,
  clients,
  jwks,
  cookies: { keys: ['test-only'] },
  claims: { openid: ['sub', 'oid', 'tid', 'ver'], profile: ['name', 'preferred_username'], email: ['email'] },
  conformIdTokenClaims: false, // put profile claims in the id_token, as Entra does
  findAccount: (_ctx, sub) => account(sub),
  ttl: {
    AccessToken: () => cfg.at,
    ClientCredentials: () => cfg.at,
    IdToken: () => cfg.id,
    RefreshToken: () => cfg.rt,
    AuthorizationCode: 60,
    DeviceCode: 120,
    Interaction: 600,
    Session: 86400,
    Grant: 86400,
  },
  rotateRefreshToken: (ctx) =>
    cfg.rotate === 'always' || (cfg.rotate === 'default' && ctx.oidc.client.clientAuthMethod === 'none'),
  clientAuthMethods: [
    'none',
    'client_secret_basic',
    'client_secret_post',
    'private_key_jwt',
    'self_signed_tls_client_auth',
  ],
  extraTokenClaims: async (ctx, token) => ({
    tid: TID,
    ver: '2.0',
    ...(token.accountId
      ? { oid: (await account(token.accountId).claims()).oid }
      : { oid: token.clientId, idtyp: 'app' }),
    ...(ctx.state.act ? { act: ctx.state.act } : {}),
  }),
  features: {
    devInteractions: { enabled: true },
    clientCredentials: { enabled: true },
    deviceFlow: { enabled: true },
    introspection: { enabled: true },
    revocation: { enabled: true },
    rpInitiatedLogout: { enabled: true },
    pushedAuthorizationRequests: { enabled: true },
    dPoP: { enabled: true, nonceSecret: Buffer.alloc(32, 7), requireNonce: () => env('DPOP_NONCE', '') === '1' },
    mTLS: {
      enabled: true,
      selfSignedTlsClientAuth: true,
      certificateBoundAccessTokens: true,
      getCertificate: (ctx) => {
        const c = ctx.socket.getPeerX509Certificate?.();
        return c;
      },
    },
    resourceIndicators: {
      enabled: true,
      defaultResource: (ctx, _c, oneOf) => {
        const r = fromScope(ctx.oidc.params?.scope);
        if (r.length === 1) return r[0];
        return oneOf ?? (r.length ? r : undefined);
      },
      getResourceServerInfo: (_ctx, r) => resourceInfo(r),
      useGrantedResource: () => true,
    },
  },
});
provider.use(async (ctx, next) => {
  await next();
  if (cfg.refresh_in && ctx.oidc?.route === 'token' && ctx.body?.access_token) ctx.body.refresh_in = cfg.refresh_in;
}); // Entra's hint
provider.use(async (ctx, next) => {
  await next();
  const listed = ctx.oidc?.route === 'discovery' && ctx.body?.grant_types_supported;
  if (listed && !cfg.exchange) ctx.body.grant_types_supported = listed.filter((grant) => grant !== GT_TX);
});

// ---- token exchange (RFC 8693) and Entra on-behalf-of: not built in, registered here
async function exchange(ctx, subjectToken, wantedResource) {
  const { client, params } = ctx.oidc;
  const pub = { keys: jwks.keys.map(({ kty, n, e, kid }) => ({ kty, n, e, kid, alg: 'RS256' })) };
  let claims;
  try {
    ({ payload: claims } = await jwtVerify(subjectToken, createLocalJWKSet(pub), {
      issuer: ISSUER,
      currentDate: new Date(Date.now()),
    }));
  } catch (e) {
    throw new errors.InvalidGrant(`subject token: ${e.code}`);
  }
  if (claims.aud !== 'api://middle') throw new errors.InvalidGrant('subject token is not addressed to this client');
  const resource = wantedResource ?? params.resource ?? fromScope(params.scope)[0];
  if (!resource) throw new errors.InvalidTarget('resource, audience or resource-qualified scope required');
  const info = resourceInfo(resource);
  const asked = (params.scope || `${resource}/.default`).split(' ').filter((s) => info.scope.split(' ').includes(s));
  if (claims.sub === 'mfa-user')
    throw Object.assign(new errors.CustomOIDCProviderError('interaction_required', 'step up'), { status: 400 });
  const grant = new provider.Grant({ accountId: claims.sub, clientId: client.clientId });
  grant.addResourceScope(resource, asked.join(' '));
  grant.addOIDCScope('openid offline_access');
  const grantId = await grant.save();
  ctx.state.act = { sub: client.clientId };
  ctx.oidc.entity('Client', client);
  const at = new provider.AccessToken({
    accountId: claims.sub,
    client,
    grantId,
    gty: 'token_exchange',
    scope: asked.join(' '),
  });
  at.resourceServer = new provider.ResourceServer(resource, info);
  ctx.oidc.entity('AccessToken', at);
  const accessToken = await at.save();
  let refreshToken;
  if ((params.scope || '').includes('offline_access')) {
    const rt = new provider.RefreshToken({
      accountId: claims.sub,
      client,
      grantId,
      gty: 'token_exchange',
      scope: `${asked.join(' ')} offline_access`,
      resource,
      rotations: 0,
      expiresWithSession: false,
    });
    refreshToken = await rt.save();
  }
  return grants.buildTokenResponse(provider, {
    accessToken,
    expiresIn: at.expiration,
    scope: at.scope,
    tokenType: at.tokenType,
    refreshToken,
    ...(params.grant_type === GT_TX ? { issuedTokenType: 'urn:ietf:params:oauth:token-type:access_token' } : {}),
  });
}
const AT = 'urn:ietf:params:oauth:token-type:access_token',
  JWTT = 'urn:ietf:params:oauth:token-type:jwt';
provider.registerGrantType(
  GT_TX,
  async (ctx) => {
    const p = ctx.oidc.params;
    if (![AT, JWTT].includes(p.subject_token_type)) throw new errors.InvalidRequest('unsupported subject_token_type');
    ctx.body = await exchange(ctx, p.subject_token, p.audience);
  },
  [
    'subject_token',
    'subject_token_type',
    'actor_token',
    'actor_token_type',
    'requested_token_type',
    'audience',
    'resource',
    'scope',
  ],
  ['audience', 'resource'],
);
provider.registerGrantType(
  GT_OBO,
  async (ctx) => {
    if (ctx.oidc.params.requested_token_use !== 'on_behalf_of') throw new errors.InvalidRequest('requested_token_use');
    ctx.body = await exchange(ctx, ctx.oidc.params.assertion);
  },
  ['assertion', 'requested_token_use', 'scope', 'claims'],
);

// ---- control plane + faults
// POST /__ctl {at, rt, id, rotate, format, skew, refresh_in, exchange, reset_stats, wipe, faults: [{path, times, status, headers,
//   body, delay_ms, reset, after, truncate}]}; GET /__ctl -> counters
let faults = [];
const stats = { requests: {}, grants: {}, errors: {}, inflight: 0, max_inflight: 0 };
const bump = (o, k) => {
  o[k] = (o[k] ?? 0) + 1;
};
provider.on('grant.success', (ctx) => bump(stats.grants, ctx.oidc.params.grant_type));
provider.on('grant.error', (ctx, err) => {
  bump(stats.errors, `${ctx.oidc?.params?.grant_type}:${err.error}:${err.error_detail ?? err.error_description}`);
});
if (env('DEBUG', ''))
  for (const e of [
    'server_error',
    'authorization.error',
    'grant.error',
    'pushed_authorization_request.error',
    'device_authorization.error',
  ])
    provider.on(e, (_c, err) => console.error(e, err));
const body = async (req) => {
  const c = [];
  for await (const x of req) c.push(x);
  return Buffer.concat(c);
};
const cb = provider.callback();
// msal wants an issuer with a path: ISSUER=https://127.0.0.1:9443/tenant
const MOUNT = new URL(ISSUER).pathname.replace(/\/$/, '');
const handler = async (req, res) => {
  if (MOUNT && req.url.startsWith(MOUNT + '/')) {
    req.originalUrl = req.url;
    req.url = req.url.slice(MOUNT.length);
  }
  if (req.url === '/__ctl') {
    if (req.method === 'POST') {
      const b = JSON.parse(await body(req));
      for (const k of ['at', 'rt', 'id', 'rotate', 'format', 'skew', 'refresh_in', 'exchange']) if (k in b) cfg[k] = b[k];
      if (b.faults) faults = b.faults.map((f) => ({ times: 1, path: '/token', ...f }));
      if (b.reset_stats) {
        stats.requests = {};
        stats.grants = {};
        stats.errors = {};
        stats.max_inflight = 0;
      }
      if (b.wipe) db.clear();
    }
    res.setHeader('content-type', 'application/json');
    return res.end(JSON.stringify({ cfg, faults, stats, rows: db.size, rss: process.memoryUsage().rss }));
  }
  if (req.url.startsWith('/v2.0/.well-known/')) {
    req.url = req.url.slice(5);
    req.originalUrl = MOUNT + req.url;
  } // where azure-identity/msal look under a tenant
  const p = req.url.split('?')[0];
  bump(stats.requests, p.replace(/(interaction|auth|device)\/[^/]{20,}/, '$1/:uid'));
  stats.inflight++;
  stats.max_inflight = Math.max(stats.max_inflight, stats.inflight);
  res.on('close', () => {
    stats.inflight--;
  });
  const f = faults.find((x) => x.times > 0 && x.path === p);
  if (f) {
    f.times--;
    if (f.delay_ms) await new Promise((r) => setTimeout(r, f.delay_ms));
    if (f.after) {
      res.write = () => true;
      res.end = () => {
        req.socket.resetAndDestroy();
        return res;
      };
      return cb(req, res);
    } // done at the provider, answer lost
    if (f.reset) return req.socket.resetAndDestroy();
    if (f.status || f.body !== undefined) {
      await body(req);
      res.writeHead(f.status ?? 200, { 'content-type': 'application/json', ...f.headers });
      if (f.truncate) {
        res.write(String(f.body).slice(0, f.truncate));
        return req.socket.destroy();
      }
      return res.end(f.body ?? '');
    }
  }
  return cb(req, res);
};
if (env('EXIT_WITH_STDIN', '')) process.stdin.resume().on('end', () => process.exit()); // whoever started it is gone
console.log(`ready ${ISSUER}${TLS_PORT ? ` ${TLS_PORT}` : ''}`);
