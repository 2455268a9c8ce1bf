// A real, certified OpenID provider (npm oidc-provider) on loopback, for tests: its users log in and consent by
// themselves, its keys live in memory (a restart is a key rollover), and a resource's settings choose its tokens.
//
// Settings come as JSON in OIDC_SETTINGS: {port, tls: {cert, key, ca} | null, resources: {URL: {format, alg, scope,
// ttl}}, clients: [more], accounts: {name: {groups, org}}, discovery: {...}}. See tests/servers/oidc_provider.py.
import { generateKeyPairSync, randomUUID } from 'node:crypto';
import http from 'node:http';
import https from 'node:https';

// Relative to this file, since its packages are not installed beside it.
const packages = '../../locks/npm/node_modules';
const { default: Provider, errors, interactionPolicy } = await import(`${packages}/oidc-provider/lib/index.js`);
const jose = await import(`${packages}/jose/dist/webapi/index.js`);

const settings = JSON.parse(process.env.OIDC_SETTINGS);
const scheme = settings.tls ? 'https' : 'http';
const issuer = `${scheme}://127.0.0.1:${settings.port}`;
const EXCHANGE = 'urn:ietf:params:oauth:grant-type:token-exchange';
const ACCESS_TOKEN = 'urn:ietf:params:oauth:token-type:access_token';
const ID_JAG = 'urn:ietf:params:oauth:token-type:id-jag';

function signingKey(alg, type, options) {
  const { privateKey } = generateKeyPairSync(type, options);
  return { ...privateKey.export({ format: 'jwk' }), alg, use: 'sig', kid: randomUUID() };
}
const keys = [
  signingKey('RS256', 'rsa', { modulusLength: 2048 }),
  signingKey('ES256', 'ec', { namedCurve: 'P-256' }),
  signingKey('EdDSA', 'ed25519', {}),
];

function resourceServer(indicator) {
  const known = { format: 'jwt', alg: 'RS256', scope: 'mcp:read mcp:write', ttl: 300, ...settings.resources?.[indicator] };
  return {
    audience: indicator,
    scope: known.scope,
    accessTokenTTL: known.ttl,
    accessTokenFormat: known.format,
    jwt: known.format === 'jwt' ? { sign: { alg: known.alg } } : undefined,
  };
}

const accounts = { alice: { groups: ['user'], org: 'acme' }, bob: { groups: ['user'], org: 'bolt' }, ...settings.accounts };
const policy = interactionPolicy.base();
policy.remove('consent');

const secret = (client_id, grant_types, more = {}) => ({
  client_id, client_secret: `${client_id}-secret-of-the-tests-0123456789`, grant_types, response_types: [], redirect_uris: [],
  token_endpoint_auth_method: 'client_secret_basic', ...more,
});
const bare = (client_id, grant_types, more = {}) => ({
  client_id, grant_types, response_types: [], redirect_uris: [], token_endpoint_auth_method: 'none', ...more,
});
const clients = [
  secret('machine', ['client_credentials']),
  secret('resource-server', []), // introspects
  secret('exchanger', [EXCHANGE, 'client_credentials']),
  secret('prover', ['client_credentials'], { dpop_bound_access_tokens: true }),
  bare('device', ['urn:ietf:params:oauth:grant-type:device_code', 'refresh_token'], { application_type: 'native' }),
  bare('browser', ['authorization_code', 'refresh_token'], {
    application_type: 'native', response_types: ['code'], redirect_uris: ['http://127.0.0.1/callback'],
  }),
  ...(settings.tls ? [bare('bound', ['client_credentials'], {
    token_endpoint_auth_method: 'tls_client_auth', tls_client_auth_san_uri: 'spiffe://example/agent/bound',
    tls_client_certificate_bound_access_tokens: true,
  })] : []),
  ...(settings.clients ?? []),
];

const certificateOf = (ctx) => ctx.req.socket.getPeerX509Certificate?.();
const provider = new Provider(issuer, {
  jwks: { keys },
  clients,
  cookies: { keys: [randomUUID()] },
  scopes: ['openid', 'offline_access', 'mcp:read', 'mcp:write'],
  claims: { openid: ['sub', 'groups', 'org'] },
  clientDefaults: { id_token_signed_response_alg: 'RS256' },
  enabledJWA: {
    idTokenSigningAlgValues: ['RS256', 'ES256', 'EdDSA'],
    requestObjectSigningAlgValues: ['RS256', 'ES256', 'EdDSA'],
    dPoPSigningAlgValues: ['ES256', 'EdDSA'],
  },
  clientAuthMethods: ['client_secret_basic', 'client_secret_post', 'none', ...(settings.tls ? ['tls_client_auth'] : [])],
  pkce: { required: () => true },
  ttl: {
    AccessToken: (ctx, token) => token.resourceServer?.accessTokenTTL ?? 300,
    ClientCredentials: (ctx, token) => token.resourceServer?.accessTokenTTL ?? 300,
    RefreshToken: 3600, IdToken: 300, DeviceCode: 600, Interaction: 600, Session: 3600, Grant: 3600,
  },
  findAccount: (ctx, id) => accounts[id] && { accountId: id, claims: () => ({ sub: id, ...accounts[id] }) },
  extraTokenClaims: (ctx, token) => {
    const { groups, org } = accounts[token.accountId] ?? { groups: [token.clientId], org: 'machines' };
    return { groups, org, ...ctx.state?.exchange };
  },
  issueRefreshToken: (ctx, client) => client.grantTypeAllowed('refresh_token'),
  loadExistingGrant: async (ctx) => {
    const grant = new provider.Grant({ clientId: ctx.oidc.client.clientId, accountId: ctx.oidc.session.accountId });
    grant.addOIDCScope('openid offline_access mcp:read mcp:write');
    grant.addOIDCClaims(['sub', 'groups', 'org']);
    for (const indicator of [ctx.oidc.params.resource].flat().filter(Boolean)) {
      grant.addResourceScope(indicator, resourceServer(indicator).scope);
    }
    await grant.save();
    return grant;
  },
  interactions: { policy, url: (ctx, interaction) => `/interaction/${interaction.uid}` },
  discovery: settings.discovery ?? {},
  features: {
    devInteractions: { enabled: false },
    clientCredentials: { enabled: true },
    deviceFlow: { enabled: true },
    introspection: { enabled: true, allowedPolicy: (ctx, client) => client.clientAuthMethod !== 'none' },
    revocation: { enabled: true, allowedPolicy: () => true },
    dPoP: { enabled: true },
    resourceIndicators: {
      enabled: true,
      defaultResource: () => undefined,
      useGrantedResource: () => true,
      getResourceServerInfo: (ctx, indicator) => resourceServer(indicator),
    },
    mTLS: {
      enabled: Boolean(settings.tls),
      certificateBoundAccessTokens: true,
      tlsClientAuth: true,
      getCertificate: certificateOf,
      certificateAuthorized: (ctx) => ctx.req.socket.authorized,
      certificateSubjectMatches: (ctx, property, expected) => property === 'tls_client_auth_san_uri'
        && (certificateOf(ctx)?.subjectAltName ?? '').split(', ').includes(`URI:${expected}`),
    },
  },
});

// RFC 8693, which the package leaves to its users: a subject's JWT becomes one for another audience, with `act`.
provider.registerGrantType(EXCHANGE, async (ctx) => {
  const { subject_token: token, subject_token_type: type, audience, resource, scope } = ctx.oidc.params;
  const wants = ctx.oidc.params.requested_token_type;
  if (!token || type !== ACCESS_TOKEN) throw new errors.InvalidRequest('subject_token of type access_token is needed');
  const target = resource ?? audience;
  if (!target) throw new errors.InvalidTarget('a resource is needed');
  let claims;
  try {
    const set = jose.createLocalJWKSet({ keys: keys.map(({ d, p, q, dp, dq, qi, ...open }) => open) });
    ({ payload: claims } = await jose.jwtVerify(token, set, { issuer, typ: 'at+jwt' }));
  } catch (error) {
    throw new errors.InvalidRequest('subject_token is not valid');
  }
  const had = new Set((claims.scope ?? '').split(' '));
  const asked = scope ? scope.split(' ') : [...had];
  if (asked.some((one) => one && !had.has(one))) throw new errors.InvalidScope('scope is more than the subject has', scope);
  const client = ctx.oidc.client;
  if (wants === ID_JAG) {
    // draft-ietf-oauth-identity-assertion-authz-grant: which client this one is at the other server, the enterprise says.
    const application = settings.applications?.[audience];
    if (!application || application.users?.includes(claims.sub) === false) throw new errors.InvalidTarget('no such application');
    const [{ kid, alg }] = keys;
    const said = { resource, scope: asked.join(' ').trim(), client_id: application.client_id, ...application.claims };
    const jag = await new jose.SignJWT(said)
      .setProtectedHeader({ alg, kid, typ: application.typ ?? 'oauth-id-jag+jwt' })
      .setIssuer(issuer).setSubject(claims.sub).setAudience(application.aud ?? audience).setJti(randomUUID())
      .setIssuedAt().setExpirationTime('300s')
      .sign(await jose.importJWK(keys[0], alg));
    ctx.body = { access_token: jag, issued_token_type: ID_JAG, token_type: 'N_A', expires_in: 300, scope: asked.join(' ').trim() };
    return;
  }
  ctx.state ??= {};
  ctx.state.exchange = { act: { sub: client.clientId, ...(claims.act ? { act: claims.act } : {}) } };
  const at = new provider.AccessToken({
    accountId: claims.sub, client, gty: 'token_exchange', grantId: randomUUID(), scope: asked.join(' ').trim() || undefined,
  });
  at.resourceServer = new provider.ResourceServer(target, resourceServer(target));
  at.expiresIn = Math.max(1, Math.min(300, claims.exp - Math.floor(Date.now() / 1000)));
  ctx.oidc.entity('AccessToken', at);
  ctx.body = {
    access_token: await at.save(), issued_token_type: ACCESS_TOKEN, token_type: 'Bearer', expires_in: at.expiration, scope: at.scope,
  };
}, ['subject_token', 'subject_token_type', 'actor_token', 'actor_token_type', 'audience', 'resource', 'scope', 'requested_token_type']);

provider.on('server_error', (ctx, error) => console.error(error));
provider.on('grant.error', (ctx, error) => console.error(error.name, error.error_description ?? error.message));

const callback = provider.callback();
async function answer(request, response) {
  const counted = request.url.split('?')[0];
  counts[counted] = (counts[counted] ?? 0) + 1;
  if (counted === '/counts') {
    response.setHeader('content-type', 'application/json');
    response.end(JSON.stringify(counts));
  } else if (counted.startsWith('/interaction/')) {
    // The user: whoever `login_hint` names, alice otherwise; says yes to everything.
    const { params } = await provider.interactionDetails(request, response);
    await provider.interactionFinished(request, response, { login: { accountId: params.login_hint ?? 'alice' } });
  } else {
    callback(request, response);
  }
}
const counts = {};
const guarded = (request, response) => answer(request, response).catch((error) => {
  console.error(error);
  response.statusCode = 500;
  response.end();
});
const server = settings.tls
  ? https.createServer({ ...settings.tls, requestCert: true, rejectUnauthorized: false }, guarded)
  : http.createServer(guarded);
server.listen(settings.port, '127.0.0.1', () => console.log(`listening at ${issuer}`));
