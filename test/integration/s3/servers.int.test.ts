import { expect, it } from 'vitest';
import { describeWithS3, S3Server } from '../../support/s3-servers.ts';

describeWithS3('a test server', (kind) => {
  it('stores and gives back an object by signed requests, and starts again on its port', async () => {
    await using server = await S3Server.start({ kind });
    const path = `/${server.bucket}/some/key`;
    const put = await server.request({ method: 'PUT', path, body: 'body' });
    expect(put.status, put.body).toBe(200);
    expect(await server.request({ method: 'GET', path })).toMatchObject({
      status: 200,
      body: 'body',
    });
    const { endpoint } = server;
    await server.restart();
    expect(server.endpoint).toBe(endpoint);
    expect((await server.request({ method: 'GET', path: '/' })).status).toBe(200);
  });
});
