// What Lambda's own Node runtime does, as far as a function sees it: its client on npm
// must be compiled on each machine.
const api = `http://${process.env.AWS_LAMBDA_RUNTIME_API}/2018-06-01/runtime`;
const { handler } = require(`${process.cwd()}/app.js`);

(async () => {
  for (;;) {
    const next = await fetch(`${api}/invocation/next`);
    const id = next.headers.get('lambda-runtime-aws-request-id');
    const event = await next.json();
    const post = (what, body) => fetch(`${api}/invocation/${id}/${what}`, { method: 'POST', body: JSON.stringify(body) });
    try {
      await post('response', await handler(event, { awsRequestId: id }));
    } catch (error) {
      await post('error', { errorType: error.name, errorMessage: error.message });
    }
  }
})();
