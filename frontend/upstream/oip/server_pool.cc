#include "frontend/upstream/oip/server_pool.h"

#include <algorithm>
#include <boost/asio/post.hpp>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "spdlog/spdlog.h"

namespace parm {
namespace {

using Clock = std::chrono::steady_clock;

constexpr Duration kLongestTick = Milliseconds(100);

}  // namespace

ServerPool::ServerPool(Parts parts, std::vector<ServerEndpoint> endpoints)
    : parts_(std::move(parts)),
      timer_(*parts_.loop),
      places_(NumPlaces(*parts_.entry)) {
  if (places_.size() == 1) {
    OipServer::Parts server = parts_.parts_of(WorkerId{parts_.first_worker});
    server.options = *parts_.entry;
    places_[0] = std::make_unique<OipServer>(std::move(server));
    return;
  }
  for (ServerEndpoint& endpoint : endpoints) {
    sources_.push_back({.endpoint = std::move(endpoint)});
  }
  boost::asio::post(*parts_.loop, [this, alive = alive_] {
    if (!*alive) return;
    Update();
    Look();
    Tick();
  });
}

void ServerPool::Tick() {
  timer_.expires_after(std::min(parts_.all->heartbeat_interval, kLongestTick));
  timer_.async_wait(
      [this, alive = alive_](const boost::system::error_code& error) {
        if (error || !*alive) return;
        Look();
        Tick();
      });
}

void ServerPool::Look() {
  const Time now = Clock::now();
  for (Member& member : members_) {
    member.joined |= places_[member.place]->up();
  }
  LetGo(now);
  if (waiting_) Update();
  ResolveDue(now);
}

bool ServerPool::Has(const std::string& endpoint) const {
  if (sources_.empty()) return parts_.entry->endpoint == endpoint;
  return std::any_of(
      sources_.begin(), sources_.end(),
      [&](const Source& source) { return source.endpoint.text == endpoint; });
}

void ServerPool::SetEndpoints(std::vector<ServerEndpoint> endpoints) {
  std::vector<Source> sources;
  for (ServerEndpoint& endpoint : endpoints) {
    const auto before = std::find_if(
        sources_.begin(), sources_.end(),
        [&](const Source& old) { return old.endpoint.text == endpoint.text; });
    Source source;
    if (before != sources_.end()) source = *before;
    source.endpoint = std::move(endpoint);
    sources.push_back(std::move(source));
  }
  sources_ = std::move(sources);
  Update();
}

// ---- Names ---------------------------------------------------------------

void ServerPool::ResolveDue(Time now) {
  for (Source& source : sources_) {
    if (source.endpoint.url.numeric || source.asking) continue;
    const bool settled =
        source.resolved && !source.failed &&
        std::all_of(members_.begin(), members_.end(), [&](const Member& each) {
          return each.source != source.endpoint.text || !each.wanted ||
                 places_[each.place]->up();
        });
    // A server that is away may have moved.
    const Duration pause = settled ? parts_.all->resolve_interval
                                   : std::min(parts_.all->resolve_interval,
                                              parts_.all->max_backoff);
    if (source.asked != Time{} && now < source.asked + pause) continue;
    source.asking = true;
    parts_.resolver->Resolve(
        source.endpoint.url.host,
        [this, alive = alive_, endpoint = source.endpoint.text](
            absl::StatusOr<std::vector<std::string>> addresses) {
          if (*alive) OnResolved(endpoint, std::move(addresses));
        });
  }
}

void ServerPool::OnResolved(
    const std::string& endpoint,
    absl::StatusOr<std::vector<std::string>> addresses) {
  const auto source = std::find_if(
      sources_.begin(), sources_.end(),
      [&](const Source& each) { return each.endpoint.text == endpoint; });
  if (source == sources_.end()) return;
  source->asking = false;
  source->asked = Clock::now();
  if (addresses.ok() && addresses->empty()) {
    addresses = absl::UnavailableError("it has no address");
  }
  if (!addresses.ok()) {
    ++parts_.counters->names_failed;
    if (std::exchange(source->failed, true)) return;
    spdlog::warn("the name of {} is not resolved, its servers stay: {}",
                 endpoint, std::string(addresses.status().message()));
    return;
  }
  source->failed = false;
  NamedServers servers = ServersAt(*addresses, source->servers);
  if (source->resolved && servers == source->servers) {
    ++parts_.counters->names_unchanged;
    return;
  }
  ++parts_.counters->names_changed;
  source->resolved = true;
  source->servers = std::move(servers);
  Update();
}

// ---- The set -------------------------------------------------------------

std::vector<ServerPool::Member> ServerPool::Wanted() {
  std::vector<Member> wanted;
  for (const Source& source : sources_) {
    Member member{.label = source.endpoint.text,
                  .source = source.endpoint.text,
                  .url = source.endpoint.url};
    if (member.url.numeric || source.servers.by_name) {
      wanted.push_back(std::move(member));
      continue;
    }
    member.url.numeric = true;
    for (const std::string& address : source.servers.addresses) {
      member.label = absl::StrCat(source.endpoint.text, " (", address, ")");
      member.url.host = address;
      wanted.push_back(member);
    }
  }
  const uint32_t most = parts_.entry->max_servers;
  const bool over = wanted.size() > most;
  if (over && !std::exchange(over_limit_, over)) {
    ++parts_.counters->sets_over_limit;
    spdlog::error("{} servers at {}: only {} are used, as max_servers says",
                  wanted.size(), sources_[0].endpoint.text, most);
  }
  over_limit_ = over;
  if (over) wanted.resize(most);
  return wanted;
}

void ServerPool::Update() {
  std::vector<Member> wanted = Wanted();
  const Time leave_by = Clock::now() + parts_.all->join_patience;
  for (Member& member : members_) {
    const auto same = std::find_if(
        wanted.begin(), wanted.end(),
        [&](const Member& each) { return each.label == member.label; });
    const bool stays = same != wanted.end();
    if (stays) wanted.erase(same);
    if (stays && std::exchange(member.leaving, false)) {
      places_[member.place]->Stay();
    }
    if (!stays && member.wanted) member.leave_by = leave_by;
    member.wanted = stays;
  }
  waiting_ = false;
  for (Member& member : wanted) waiting_ |= !Join(std::move(member));
  LetGo(Clock::now());
}

bool ServerPool::Join(Member member) {
  const auto vacant = std::find(places_.begin(), places_.end(), nullptr);
  if (vacant == places_.end()) return false;
  member.place = static_cast<uint32_t>(vacant - places_.begin());
  const WorkerId worker{parts_.first_worker + member.place};
  OipServer::Parts server = parts_.parts_of(worker);
  server.options = *parts_.entry;
  server.options.endpoint = member.label;
  server.options.url = member.url;
  ++parts_.counters->servers_joined;
  parts_.listener->OnPlaced(worker, member.label);
  *vacant = std::make_unique<OipServer>(std::move(server));
  members_.push_back(std::move(member));
  return true;
}

// A server that is not wanted finishes what it has, and goes. It takes tasks
// until all that are new have come, or have had their time: so a set that is
// exchanged as a whole leaves no query without a server.
void ServerPool::LetGo(Time now) {
  // Or those that have no place yet.
  const bool expecting =
      waiting_ ||
      std::any_of(members_.begin(), members_.end(), [](const Member& each) {
        return each.wanted && !each.joined;
      });
  std::vector<Member> stay;
  for (Member& member : members_) {
    OipServer& server = *places_[member.place];
    if (!member.wanted && !member.leaving &&
        (!expecting || !server.up() || now >= member.leave_by)) {
      member.leaving = true;
      server.Leave();
    }
    if (!member.leaving || !server.done()) {
      stay.push_back(std::move(member));
      continue;
    }
    places_[member.place] = nullptr;
    ++parts_.counters->servers_left;
    parts_.listener->OnLeft(WorkerId{parts_.first_worker + member.place});
  }
  members_ = std::move(stay);
}

}  // namespace parm
