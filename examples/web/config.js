// The deployment that the page uses. None of these values is secret.
export const config = {
  /** The stack's output `ApiUrl`, without a slash at its end. */
  baseUrl: "https://api.example.com",
  agentId: "accounts_payable",
  supabaseUrl: "https://abcdefghijklmnopqrst.supabase.co",
  supabasePublishableKey: "sb_publishable_…",
};
