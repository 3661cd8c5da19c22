import type { ApiApp, ApiPorts } from '../types.ts';
import { JobLines, JobList, jobParams, JobSchema, jobsQuery, linesQuery } from '../schemas/jobs.ts';
import { emptyBody } from '../schemas/common.ts';
import { lastEventIdHeader } from '../sse.ts';
import { jobDocument, lineDocument } from './job-document.ts';
import { mayChange } from './may-change-job.ts';

const tags = ['jobs'];
const job = { description: 'The job as it is now.', $ref: 'Job#' } as const;

/** Adds the routes of jobs. */
export function addJobRoutes(app: ApiApp, { control, streams }: ApiPorts): void {
  app.addSchema(JobSchema);
  app.get(
    '/v1/jobs',
    {
      config: { scope: 'read' },
      schema: {
        ...{ operationId: 'listJobs', summary: 'Jobs, newest first.', tags },
        querystring: jobsQuery,
        response: { 200: { description: 'A page of jobs.', ...JobList } },
      },
    },
    ({ query }) => {
      const { jobs, nextPageToken } = control.jobs.list({ pageSize: 50, ...query });
      return { jobs: jobs.map(jobDocument), nextPageToken };
    },
  );
  app.get(
    '/v1/jobs/:job',
    {
      config: { scope: 'read' },
      schema: {
        ...{ operationId: 'getJob', summary: 'One job.', tags, params: jobParams },
        response: { 200: job },
      },
    },
    ({ params }) => jobDocument(control.jobs.get(params.job)),
  );
  app.get(
    '/v1/jobs/:job/logs',
    {
      config: { scope: 'read' },
      schema: {
        ...{ operationId: 'getJobLogs', summary: 'What a job said.', tags, params: jobParams },
        querystring: linesQuery,
        response: { 200: { description: 'Its lines, oldest first.', ...JobLines } },
      },
    },
    ({ params, query }) => {
      const { after = 0, max = 200 } = query;
      const { id } = control.jobs.get(params.job);
      return { job: id, lines: control.jobs.lines(id, after, max).map(lineDocument) };
    },
  );
  addEvents(app, { control, streams });
  addChanges(app, { control });
}

function addEvents(app: ApiApp, { control, streams }: Pick<ApiPorts, 'control' | 'streams'>): void {
  app.get(
    '/v1/jobs/:job/events',
    {
      config: { scope: 'read', problems: ['overloaded'] },
      schema: {
        operationId: 'followJob',
        summary: 'Follows a job: an event for each change, until it ends.',
        description:
          'Server-sent events named `job`; data is the job as `GET /v1/jobs/{job}` gives it. Come again with Last-Event-ID after a break.',
        ...{ tags, params: jobParams, headers: lastEventIdHeader },
        response: {
          200: {
            description: 'Events.',
            content: { 'text/event-stream': { schema: { type: 'string' } } },
          },
        },
      },
    },
    (request, reply) => {
      const { id } = control.jobs.get(request.params.job); // not there: a plain answer
      return streams.send(request, reply, async function* (afterId, signal) {
        for await (const { seq, job: now } of control.jobs.follow(id, afterId, signal)) {
          yield { id: seq, event: 'job', data: jobDocument(now) };
        }
      });
    },
  );
}

function addChanges(app: ApiApp, { control }: Pick<ApiPorts, 'control'>): void {
  app.post(
    '/v1/jobs/:job(^[^/:]+)::cancel',
    {
      config: { scope: 'restore', problems: ['job-over'] },
      schema: {
        operationId: 'cancelJob',
        summary: 'Ends a job as soon as it can; what is written already is told in its log.',
        description: 'One that only an administrator may begin needs the scope `admin`.',
        ...{ tags, params: jobParams, body: emptyBody },
        response: { 200: job },
      },
    },
    async (request) => {
      const { id } = mayChange(request, control.jobs.get(request.params.job), 'cancel');
      return jobDocument(await control.jobs.cancel(id, request.actor));
    },
  );
  app.post(
    '/v1/jobs/:job(^[^/:]+)::resume',
    {
      config: { scope: 'restore', problems: ['job-state'] },
      schema: {
        operationId: 'resumeJob',
        summary: 'Goes on with a job that failed or was cancelled.',
        description: 'One that only an administrator may begin needs the scope `admin`.',
        ...{ tags, params: jobParams, body: emptyBody },
        response: { 200: job },
      },
    },
    async (request) => {
      const { id } = mayChange(request, control.jobs.get(request.params.job), 'resume');
      return jobDocument(await control.jobs.resume(id, request.actor));
    },
  );
}
