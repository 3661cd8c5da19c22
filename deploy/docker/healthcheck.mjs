// Asks the service of this container whether it is ready. TIDEMARK_HEALTH_URL names its address: 9790 is
// the archiver, 9791 a worker, 8080 the API.
const url = process.env.TIDEMARK_HEALTH_URL ?? 'http://127.0.0.1:9790/readyz';
try {
  const answer = await fetch(url, { signal: AbortSignal.timeout(5_000) });
  if (!answer.ok) console.error(await answer.text());
  process.exitCode = answer.ok ? 0 : 1;
} catch (error) {
  console.error(`${url}: ${error.message}`);
  process.exitCode = 1;
}
