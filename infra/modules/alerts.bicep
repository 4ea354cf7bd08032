// Mails when a rollout needs a person. Each rule reads the sentences that the app writes to its log, as the page shows them.

param namePrefix string

param location string

param tags object

@description('Resource id of the Log Analytics workspace.')
param workspaceId string

@description('Addresses that are told; none: the rules exist and only show in the portal.')
param emails string[]

@description('The rules: what each looks for, how serious it is (0 to 4) and in which stretch of time. What lasts is told once until it is over, and separately for each value of the column `per`.')
var rules = loadJsonContent('../alerts.json')

resource people 'Microsoft.Insights/actionGroups@2023-01-01' = if (!empty(emails)) {
  name: '${namePrefix}-people'
  location: 'global'
  tags: tags
  properties: {
    enabled: true
    groupShortName: 'goldroll'
    emailReceivers: [for email in emails: {
      name: email
      emailAddress: email
      useCommonAlertSchema: true
    }]
  }
}

resource alerts 'Microsoft.Insights/scheduledQueryRules@2023-12-01' = [for rule in rules: {
  name: '${namePrefix}-${rule.name}'
  location: location
  tags: tags
  kind: 'LogAlert'
  properties: {
    displayName: rule.title
    description: rule.description
    severity: rule.severity
    enabled: true
    scopes: [workspaceId]
    evaluationFrequency: rule.every
    windowSize: rule.window
    criteria: {
      allOf: [
        {
          query: rule.query
          timeAggregation: 'Count'
          operator: 'GreaterThan'
          threshold: rule.threshold
          dimensions: empty(rule.per) ? [] : [{ name: rule.per, operator: 'Include', values: ['*'] }]
          failingPeriods: {
            numberOfEvaluationPeriods: 1
            minFailingPeriodsToAlert: 1
          }
        }
      ]
    }
    autoMitigate: rule.lasts
    // The tables appear with the first log line, which is after this deployment.
    skipQueryValidation: true
    actions: { actionGroups: empty(emails) ? [] : [people.id] }
  }
}]

output actionGroupId string = empty(emails) ? '' : people.id
