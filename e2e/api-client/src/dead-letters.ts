import { answered, type Clients } from "./client.js";
import { assert, everything, until } from "./wait.js";

/** Each service has dead letters of two causes: one group is redriven and fails again, then all are discarded. */
export async function sortAndGiveUp({ sales, production, restock }: Clients): Promise<void> {
  for (const service of [
    {
      list: (query: Page) => answered(200, sales.GET("/api/v1/dead-letters", { params: { query } })),
      groups: (query: Page) => answered(200, sales.GET("/api/v1/dead-letters/groups", { params: { query } })),
      letter: (id: string) => answered(200, sales.GET("/api/v1/dead-letters/{id}", { params: { path: { id } } })),
      redrive: (body: Redrive) => answered(202, sales.POST("/api/v1/dead-letters/redrive", { body })),
      job: (id: string) => answered(200, sales.GET("/api/v1/dead-letters/redrives/{id}", { params: { path: { id } } })),
      discard: (body: Discard) => answered(200, sales.POST("/api/v1/dead-letters/discard", { body })),
    },
    {
      list: (query: Page) => answered(200, production.GET("/api/v1/dead-letters", { params: { query } })),
      groups: (query: Page) => answered(200, production.GET("/api/v1/dead-letters/groups", { params: { query } })),
      letter: (id: string) => answered(200, production.GET("/api/v1/dead-letters/{id}", { params: { path: { id } } })),
      redrive: (body: Redrive) => answered(202, production.POST("/api/v1/dead-letters/redrive", { body })),
      job: (id: string) =>
        answered(200, production.GET("/api/v1/dead-letters/redrives/{id}", { params: { path: { id } } })),
      discard: (body: Discard) => answered(200, production.POST("/api/v1/dead-letters/discard", { body })),
    },
    {
      list: (query: Page) => answered(200, restock.GET("/api/v1/dead-letters", { params: { query } })),
      groups: (query: Page) => answered(200, restock.GET("/api/v1/dead-letters/groups", { params: { query } })),
      letter: (id: string) => answered(200, restock.GET("/api/v1/dead-letters/{id}", { params: { path: { id } } })),
      redrive: (body: Redrive) => answered(202, restock.POST("/api/v1/dead-letters/redrive", { body })),
      job: (id: string) =>
        answered(200, restock.GET("/api/v1/dead-letters/redrives/{id}", { params: { path: { id } } })),
      discard: (body: Discard) => answered(200, restock.POST("/api/v1/dead-letters/discard", { body })),
    },
  ]) {
    const groups = await everything(service.groups);
    assert(groups.length >= 2 && groups.every(({ reason }) => reason === "undecodable"), JSON.stringify(groups));
    const letters = await everything(service.list);
    const [first] = letters;
    assert(first !== undefined, "there are letters");
    const whole = await service.letter(first.id);
    assert(whole.body === first.body && whole.group === first.group, "the letter is the one of the list");
    const { id } = await service.redrive({ group: first.group, rate_per_s: 1000 });
    const job = await until(`redrive ${id} is done`, async () => {
      const job = await service.job(id);
      return job.done ? job : undefined;
    });
    assert(job.failed_again === job.total && job.processed === 0, `nothing was mended: ${JSON.stringify(job)}`);
    const ids = letters.map((letter) => letter.id);
    const { discarded } = await service.discard({ ids, reason: "no event at all" });
    assert(discarded === ids.length, `discarded ${discarded} of ${ids.length}`);
  }
}

interface Page {
  limit: number;
  cursor?: string;
}

interface Redrive {
  group: string;
  rate_per_s: number;
}

interface Discard {
  ids: string[];
  reason: string;
}
