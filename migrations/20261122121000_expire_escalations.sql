-- Escalations end when their time is over, which lets their session go on, and become idle in its turn.

create index if not exists chat_escalations_expiring
  on public.chat_escalations (expires_at) where status = 'open' and expires_at is not null;
