// A client of the control plane made of the `@azure/arm-healthcareapis` package, for tests.
//
// client.cjs URL SUBSCRIPTION   reads commands from standard input, a line each
//
// {"do": "put", "names": ["ws1", "iot1"], "body": {...}, "headers": {...}}
//     how many names there are says of what: a workspace, a connector, a destination. Also `get`, `tag`, `patch`
//     (any JSON, put in the place of what the package would send), `delete`; `list` takes the names of what is above, and may have a `query`.
//
// Prints a line for each answer that came over the network, {"method", "url", "status"}, and then what the package
// made of them: {"done": ...} or {"failed": {"status", "code", "message"}}. Waits for operations as the package does.
// Shows the token in ARM_TOKEN, and trusts the authority in NODE_EXTRA_CA_CERTS.

const readline = require("node:readline");
const { HealthcareApisManagementClient } = require("@azure/arm-healthcareapis");

const GROUP = "rg1";
const [url, subscription] = process.argv.slice(2);

function say(line) {
  console.log(JSON.stringify(line));
}

const credential = {
  getToken: async () => ({ token: process.env.ARM_TOKEN, expiresOnTimestamp: Date.now() + 3_600_000 }),
};

// What goes over the network, repetitions too.
const exchanges = {
  name: "exchanges",
  async sendRequest(request, next) {
    const response = await next(request);
    say({ method: request.method, url: request.url, status: response.status });
    return response;
  },
};

// What is sent in the place of a typed body.
let anyBody = null;
const bodies = {
  name: "bodies",
  async sendRequest(request, next) {
    if (request.method === "PATCH" && anyBody !== null) request.body = JSON.stringify(anyBody);
    return next(request);
  },
};

// What is asked of a list beside what the package asks.
let anyQuery = null;
const queries = {
  name: "queries",
  async sendRequest(request, next) {
    if (anyQuery !== null && !request.url.includes(anyQuery)) request.url += `&${anyQuery}`;
    return next(request);
  },
};

const client = new HealthcareApisManagementClient(credential, subscription, { endpoint: url });
client.pipeline.addPolicy(exchanges, { phase: "Sign" });
client.pipeline.addPolicy(bodies, { afterPhase: "Serialize" });
client.pipeline.addPolicy(queries);

function of(names) {
  return [client.workspaces, client.iotConnectors, client.iotConnectorFhirDestination][names.length - 1];
}

// The models have the members of `properties` beside the others.
function flat({ properties = {}, ...body }) {
  return { ...body, ...properties };
}

// To change or delete a connector, its name comes before the workspace's.
function innerFirst(names) {
  return names.length === 3 ? names : [...names].reverse();
}

const actions = {
  put: ({ names, body }, options) => of(names).beginCreateOrUpdateAndWait(GROUP, ...names, flat(body), options),
  get: ({ names }, options) => of(names).get(GROUP, ...names, options),
  tag: ({ names, body }, options) =>
    of(names).beginUpdateAndWait(GROUP, ...innerFirst(names), { tags: body }, options),
  patch: ({ names, body }, options) => {
    anyBody = body;
    return of(names).beginUpdateAndWait(GROUP, ...innerFirst(names), {}, options);
  },
  // What the package gives back is the last look at the operation.
  delete: ({ names }, options) => of(names).beginDeleteAndWait(GROUP, ...innerFirst(names), options).then(() => null),
  async list({ names, query = null }, options) {
    anyQuery = query;
    const lists = [
      () => client.workspaces.listByResourceGroup(GROUP, options),
      () => client.iotConnectors.listByWorkspace(GROUP, ...names, options),
      () => client.fhirDestinations.listByIotConnector(GROUP, ...names, options),
    ];
    const found = [];
    for await (const item of lists[names.length]()) found.push(item.name);
    return found;
  },
};

async function main() {
  for await (const line of readline.createInterface({ input: process.stdin })) {
    const command = JSON.parse(line);
    try {
      const options = { requestOptions: { customHeaders: command.headers ?? {} } };
      say({ done: (await actions[command.do](command, options)) ?? null });
    } catch (error) {
      say({ failed: { status: error.statusCode ?? null, code: error.code ?? null, message: error.message } });
    } finally {
      anyBody = anyQuery = null;
    }
  }
}

main().then(
  () => process.exit(0),
  (error) => {
    console.error(error);
    process.exit(1);
  },
);
