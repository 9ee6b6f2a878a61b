import { answered, type Clients, refused } from "./client.js";
import { assert, everything } from "./wait.js";

/** Makes and revokes tokens, and ends the sessions that the test has begun. */
export async function grantAndEnd({ access }: Clients): Promise<void> {
  const make = (name: string) =>
    access.POST("/api/v1/tokens", { body: { name, role: "viewer", expires_in_days: 1 } });
  const made = [await answered(201, make("one")), await answered(201, make("two"))];
  const again = await refused(409, make("one"));
  assert(again.type === "/problems/conflict", JSON.stringify(again));
  for (const { id } of made) {
    const revoke = access.POST("/api/v1/tokens/{id}/revoke", {
      params: { path: { id } },
      body: { reason: "no longer needed" },
    });
    assert((await answered(200, revoke)).revoked_at !== null, "the token is revoked");
  }
  const tokens = await everything((query) => answered(200, access.GET("/api/v1/tokens", { params: { query } })));
  assert(made.every(({ id }) => tokens.some((token) => token.id === id)), "the list has the tokens");

  const sessions = await everything((query) =>
    answered(200, access.GET("/api/v1/sessions", { params: { query } })),
  );
  const [newest] = sessions;
  assert(newest !== undefined && newest.ended_at === null, JSON.stringify(sessions));
  const end = access.POST("/api/v1/sessions/{id}/end", {
    params: { path: { id: newest.id } },
    body: { reason: "left open" },
  });
  assert((await answered(200, end)).ended_at !== null, "the session has ended");
  const rest = access.POST("/api/v1/sessions/end", { body: { person: newest.person, reason: "all of them" } });
  const { ended } = await answered(200, rest);
  assert(ended >= 1, `${ended} further sessions have ended`);
}
